// Policies, guardrails and limits: made, explained and used up.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { logIn, startBrowser, startNode } from "./browser.mjs";

let node, browser, session, page;

before(async () => {
  [node, browser] = await Promise.all([startNode(), startBrowser()]);
  await node.connect("openai_api", { name: "OpenAI", models: [{ id: "gpt-4o-mini" }] });
  session = await logIn(browser, node);
  page = session.page;
});
after(async () => {
  await browser?.close();
  await node?.stop();
});

const dialog = () => page.getByRole("dialog");
const row = (name) => page.getByRole("row").filter({ has: page.getByText(name, { exact: true }) });

async function choose(label, text) {
  await dialog().getByRole("combobox", { name: label }).fill(text);
  await page.keyboard.press("Enter");
}

test("a guardrail is made", async () => {
  await page.goto(`${node.url}/guardrails`);
  await page.getByText("No guardrails yet").waitFor();
  await page.getByRole("button", { name: "New guardrail" }).first().click();
  await dialog().getByLabel("Name").fill("Small models");
  await dialog().getByRole("switch", { name: "Allow certain models only" }).click();
  await choose("Models", "gpt-4o-mini");
  await dialog().getByRole("switch", { name: "Bound the output" }).click();
  await dialog().getByLabel("Tokens at most").fill("512");
  await dialog().getByRole("button", { name: "Make guardrail" }).click();
  await row("Small models").getByText("at most 512 tokens out").waitFor();
});

test("a policy is made with groups, providers, guardrails and limits", async () => {
  await page.goto(`${node.url}/policies`);
  await page.getByText("Nobody may anything yet").waitFor();
  await page.getByRole("button", { name: "New policy" }).first().click();
  await dialog().getByRole("button", { name: "Make policy" }).click();
  await dialog().getByText("At least one provider").waitFor();
  await dialog().getByLabel("Name").fill("Interns");
  await choose("Groups", "agents");
  await choose("Providers", "openai");
  await dialog().getByRole("tab", { name: "Limits" }).click();
  await dialog().getByRole("switch", { name: "Tokens" }).click();
  await dialog().getByLabel("Each user").fill("100000");
  await dialog().getByText("Hard", { exact: true }).click();
  await dialog().getByRole("tab", { name: "Guardrails and paths" }).click();
  await choose("Guardrails", "Small models");
  await choose("Allowed paths", "/v1/chat/completions");
  await dialog().getByRole("button", { name: "Make policy" }).click();
  await row("Interns").waitFor();
  const [policy] = await node.api("GET", "/policies");
  assert.deepEqual(policy.source_groups, ["agents"]);
  assert.deepEqual(policy.allowed_paths, ["/v1/chat/completions"]);
  assert.equal(policy.guardrail_ids.length, 1);
  assert.equal(policy.limits.mode, "hard");
  assert.equal(policy.limits.token_limit.user_cap, 100_000);
  assert.equal(policy.limits.token_limit.window_seconds, 30 * 86_400);
});

test("a request is explained, allowed and refused", async () => {
  await page.getByRole("button", { name: "Explain a request" }).click();
  await choose("Peer", "alice");
  await dialog().getByRole("combobox", { name: "Model" }).fill("gpt-4o-mini");
  await page.keyboard.press("Enter");
  await dialog().getByRole("button", { name: "Explain", exact: true }).click();
  await dialog().getByText("It would be sent").waitFor();
  await dialog().getByText("of 100,000").first().waitFor();
  await dialog().getByRole("combobox", { name: "Model" }).fill("gpt-5.4");
  await page.keyboard.press("Enter");
  await dialog().getByRole("button", { name: "Explain", exact: true }).click();
  await dialog().getByText("It would be refused").waitFor();
  // The question is in the address.
  await page.reload();
  await dialog().getByRole("button", { name: "Explain", exact: true }).click();
  await dialog().getByText("It would be refused").waitFor();
  await page.keyboard.press("Escape");
});

test("what an agent uses shows in its bucket", async () => {
  const answer = await node.ask("/v1/chat/completions", {
    model: "gpt-4o-mini",
    max_tokens: 20,
    messages: [{ role: "user", content: "hello" }],
  });
  assert.equal(answer.status, 200, answer.text);
  await page.goto(`${node.url}/limits`);
  await row("alice")
    .getByText(/^[1-9]\d* of 100,000/)
    .waitFor();
});

test("a budget rule is made and removed", async () => {
  await page.getByRole("button", { name: "New budget rule" }).first().click();
  await dialog().getByLabel("Name").fill("Company");
  await dialog().getByRole("switch", { name: "Budget" }).click();
  await dialog().getByLabel("Each group").fill("250.5");
  await dialog().getByRole("button", { name: "Make rule" }).click();
  await row("Company").getByText("$250.50 per group in 30 days").waitFor();
  await page.getByRole("button", { name: "Actions for Company" }).click();
  await page.getByRole("menuitem", { name: "Remove" }).click();
  await dialog().getByRole("button", { name: "Remove rule" }).click();
  await page.getByText("No budget rules yet").waitFor();
});

test("an auditor sees and cannot change", async () => {
  const { token } = await node.api("POST", "/tokens", { name: "a", role: "auditor" });
  const context = await browser.newContext();
  const other = await context.newPage();
  await other.goto(`${node.url}/policies`);
  await other.getByLabel("Access token").fill(token);
  await other.getByRole("button", { name: "Log in" }).click();
  await other.getByText("Interns", { exact: true }).waitFor();
  assert.equal(await other.getByRole("button", { name: "New policy" }).count(), 0);
  await other.getByRole("button", { name: "Log out" }).click();
  await other.getByLabel("Access token").waitFor();
  await other.goto(`${node.url}/policies`);
  await other.getByLabel("Access token").waitFor();
  await context.close();
});

test("the browser had nothing to complain about", () => {
  assert.deepEqual(session.traffic.complaints, []);
});
