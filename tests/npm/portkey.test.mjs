// A real Portkey gateway as an upstream: it routes by the caller's identity, which it was told by the node.
// (Its @hono/node-server is held at 1.13: from 1.14 on it fails with every stream, as headers are immutable there.)

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import http from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

import { freePort, startNode } from "./endpoint.mjs";

const GATEWAY = new URL("node_modules/@portkey-ai/gateway/build/start-server.js", import.meta.url);
const TOLD = '{"_user":"sdk","groups":"agents"}';
const KEY = "pk-standin-4d1e";
const START_MILLISECONDS_MAX = 60_000;

let node, behind, portkey, openai, anthropic;

before(async () => {
  node = await startNode();
  behind = await startVendor();
  const port = await freePort();
  portkey = spawn(process.execPath, [GATEWAY.pathname, `--port=${port}`, "--headless"], {
    stdio: "ignore",
    // It leads nowhere but to the vendor below.
    env: { PATH: process.env.PATH, TRUSTED_CUSTOM_HOSTS: "127.0.0.1", NODE_ENV: "production" },
  });
  await answers(`http://127.0.0.1:${port}/`);

  const target = (name, provider) => ({
    name,
    provider,
    api_key: `sk-${name}`,
    custom_host: `http://127.0.0.1:${behind.port}/${name}`,
    forward_headers: ["x-portkey-metadata"],
  });
  const config = (provider) => ({
    strategy: {
      mode: "conditional",
      conditions: [{ query: { "metadata.groups": { $eq: "agents" } }, then: "known" }],
      default: "unknown",
    },
    targets: [target("known", provider), target("unknown", provider)],
  });
  for (const [provider, model] of [["openai", "portkey-gpt"], ["anthropic", "portkey-claude"]]) {
    const name = `portkey-${provider}`;
    await node.keywayWithKey(
      KEY, "providers", "connect", "portkey", "--name", name, "--url", `http://127.0.0.1:${port}`,
      "--model", `${model}=0.001,0.002`, "--allow-private=true", "--key-stdin",
      "--header", `x-portkey-config=${JSON.stringify(config(provider))}`,
    );
    await node.keyway("policies", "add", name, "--group", "agents", "--provider", name);
  }
  const spoofed = { "x-portkey-metadata": '{"_user":"root"}', "x-portkey-config": "pc-other" };
  openai = new OpenAI({
    baseURL: `${node.base_url}/v1`, apiKey: "-", maxRetries: 0, defaultHeaders: spoofed,
  });
  anthropic = new Anthropic({
    baseURL: node.base_url, apiKey: "-", maxRetries: 0, defaultHeaders: spoofed,
  });
});
after(async () => {
  portkey.kill();
  behind.server.close();
  await node.stop();
});

test("OpenAI's shape, whole and streamed", async () => {
  const request = { model: "portkey-gpt", messages: [{ role: "user", content: "hello" }] };
  const answer = await openai.chat.completions.create(request);
  assert.equal(answer.choices[0].message.content, "behind Portkey");
  assert.deepEqual(behind.seen.at(-1), { path: "/known/chat/completions", key: "Bearer sk-known", told: TOLD });
  const row = await node.record((row) => row.model === "portkey-gpt");
  assert.deepEqual([row.input_tokens, row.output_tokens, row.catalog_id], [31, 2, "portkey"]);

  let text = "";
  for await (const chunk of await openai.chat.completions.create({ ...request, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? "";
  }
  assert.equal(text, "behind Portkey");
  const streamed = await node.record((row) => row.model === "portkey-gpt" && row.stream);
  assert.deepEqual([streamed.input_tokens, streamed.output_tokens], [31, 2]);
});

test("Anthropic's shape", async () => {
  const answer = await anthropic.messages.create({
    model: "portkey-claude",
    max_tokens: 9,
    messages: [{ role: "user", content: "hello" }],
  });
  assert.equal(answer.content[0].text, "behind Portkey");
  assert.deepEqual(behind.seen.at(-1), { path: "/known/messages", key: "sk-known", told: TOLD });
  const row = await node.record((row) => row.model === "portkey-claude");
  assert.deepEqual([row.input_tokens, row.output_tokens, row.dialect], [31, 2, "anthropic"]);
});

/** What Portkey leads to: notes who came, and answers. */
async function startVendor() {
  const seen = [];
  const usage = { prompt_tokens: 31, completion_tokens: 2, total_tokens: 33 };
  const answer = (body) => ({
    id: "chatcmpl-1", object: "chat.completion", created: 1, model: body.model, usage,
    choices: [{ index: 0, message: { role: "assistant", content: "behind Portkey" }, finish_reason: "stop" }],
  });
  const message = (body) => ({
    id: "msg_1", type: "message", role: "assistant", model: body.model, stop_reason: "end_turn",
    content: [{ type: "text", text: "behind Portkey" }], usage: { input_tokens: 31, output_tokens: 2 },
  });
  const chunk = (choices, usage) =>
    `data: ${JSON.stringify({ id: "1", object: "chat.completion.chunk", created: 1, model: "m", choices, usage })}\n\n`;
  const server = http.createServer(async (request, response) => {
    if (request.method === "GET") {
      // Connecting a provider asks for its models.
      const data = [{ id: "portkey-gpt", object: "model" }, { id: "portkey-claude", object: "model" }];
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ object: "list", data, has_more: false }));
      return;
    }
    let text = "";
    for await (const piece of request.setEncoding("utf8")) text += piece;
    const { authorization, "x-api-key": key, "x-portkey-metadata": told } = request.headers;
    seen.push({ path: request.url, key: key ?? authorization, told });
    const body = JSON.parse(text);
    if (body.stream) {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(chunk([{ index: 0, delta: { content: "behind Portkey" }, finish_reason: null }], null));
      if (body.stream_options?.include_usage) response.write(chunk([], usage));
      response.end("data: [DONE]\n\n");
      return;
    }
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(request.url.endsWith("/messages") ? message(body) : answer(body)));
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  return { server, seen, port: server.address().port };
}

async function answers(url) {
  const deadline = Date.now() + START_MILLISECONDS_MAX;
  for (;;) {
    try {
      return await fetch(url);
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(50);
    }
  }
}
