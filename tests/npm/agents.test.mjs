// Claude Code and Codex in a run without a person, set up as `keyway agent-config` says.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { onlyTo, run, startNode } from "./endpoint.mjs";

const MODULES = new URL("node_modules/", import.meta.url).pathname;

let node, proxy, home;

before(async () => {
  node = await startNode();
  proxy = await onlyTo(node);
  home = mkdtempSync(join(tmpdir(), "keyway-agents-"));
});
after(async () => {
  rmSync(home, { recursive: true });
  await proxy.close();
  await node.stop();
});

/** What a fresh user has; `more` is the agent's own. */
const environment = (more) => ({
  PATH: process.env.PATH,
  HOME: home,
  HTTPS_PROXY: proxy.url,
  HTTP_PROXY: proxy.url,
  ...more,
});

/** The part of `keyway agent-config` that goes into a file, told by how it begins. */
async function config(tool, begins) {
  const text = await node.keyway("agent-config", tool, "--ca-file", node.ca_file);
  const at = text.indexOf(begins);
  assert.ok(at >= 0, text);
  return text.slice(at);
}

test("Claude Code", async () => {
  const settings = JSON.parse(await config("claude-code", "{"));
  mkdirSync(join(home, ".claude"));
  writeFileSync(join(home, ".claude/settings.json"), JSON.stringify(settings));
  const done = await run(
    process.execPath,
    [join(MODULES, "@anthropic-ai/claude-code/cli-wrapper.cjs"), "-p", "say something [[events=41]]", "--model", "claude-sonnet-4-6", "--output-format", "json"],
    { cwd: home, env: environment({ CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1" }) },
  );
  assert.equal(done.code, 0, done.stdout + done.stderr);
  const told = JSON.parse(done.stdout);
  assert.ok(told.result.includes("word41"), done.stdout);
  const row = await node.record((row) => row.output_tokens === 41);
  assert.deepEqual([row.model, row.stream, row.outcome], ["claude-sonnet-4-6", true, "answered"]);
  assert.equal(row.session_id, told.session_id);
  assert.equal(row.input_tokens, told.usage.input_tokens);
});

test("Codex", async () => {
  const codexHome = join(home, "codex");
  mkdirSync(codexHome);
  writeFileSync(join(codexHome, "config.toml"), await config("codex", "model_provider"));
  const done = await run(
    process.execPath,
    [join(MODULES, "@openai/codex/bin/codex.js"), "exec", "--skip-git-repo-check", "--sandbox", "read-only", "--model", "gpt-4o-mini", "--json",
      "say something [[events=43]]"],
    { cwd: home, env: environment({ CODEX_HOME: codexHome, CODEX_CA_CERTIFICATE: node.ca_file }) },
  );
  assert.equal(done.code, 0, done.stdout + done.stderr);
  assert.ok(done.stdout.includes("word43"), done.stdout);
  const row = await node.record((row) => row.output_tokens === 43);
  assert.deepEqual([row.model, row.stream, row.operation], ["gpt-4o-mini", true, "responses"]);
  assert.ok(row.session_id);
});
