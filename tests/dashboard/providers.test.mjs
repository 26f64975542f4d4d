// Everything that the catalog has is connected through the dialog, changed, and removed; no key is left anywhere.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { leftovers, logIn, startBrowser, startNode } from "./browser.mjs";

/** Stand-ins that play no listing of models, by which these would be tried. */
const UNLISTED = ["litellm_proxy"];

let node, browser, catalog, session, page;

before(async () => {
  [node, browser] = await Promise.all([startNode(), startBrowser()]);
  catalog = await node.api("GET", "/catalog/providers");
  session = await logIn(browser, node);
  page = session.page;
});
after(async () => {
  await browser?.close();
  await node?.stop();
});

const dialog = () => page.getByRole("dialog");
const row = (name) => page.getByRole("row").filter({ has: page.getByText(name, { exact: true }) });

async function act(name, action) {
  await page.getByRole("button", { name: `Actions for ${name}`, exact: true }).click();
  await page.getByRole("menuitem", { name: action }).click();
}

/** From the picker to the saved provider. */
async function connect(standin, name) {
  const entry = catalog.find((one) => one.id === standin.catalog_id);
  await page.goto(`${node.url}/providers/new`);
  await dialog().getByRole("combobox", { name: "Provider" }).fill(entry.name);
  await page.getByRole("option", { name: entry.name }).first().click();
  const url = dialog().getByLabel("Upstream URL");
  await url.fill(standin.url);
  if (standin.key) await dialog().getByLabel(/API key|Service account key/).fill(standin.key);
  await dialog().getByLabel("Display name").fill(name);
  await dialog().getByText("Network, trust and rate").click();
  const allow = dialog().getByRole("switch", { name: "Allow private addresses" });
  if ((await allow.getAttribute("aria-checked")) === "false") await allow.click();
  if (standin.ca_pem) await dialog().getByLabel("CA certificates").fill(standin.ca_pem);
  await assertNoKey();
  await dialog().getByRole("button", { name: "Continue" }).click();
  if (entry.identity_injection) await dialog().getByRole("button", { name: "Continue" }).click();
  await dialog().getByRole("button", { name: "Connect", exact: true }).click();
  if (UNLISTED.includes(standin.catalog_id)) {
    await dialog().getByRole("alert").waitFor();
    await dialog().getByRole("button", { name: "Connect anyway" }).click();
  }
  await dialog().waitFor({ state: "hidden" });
  await row(name).waitFor();
}

async function assertNoKey() {
  const left = await leftovers(page);
  for (const part of [node.marker, "PRIVATE KEY"]) {
    assert.ok(!left.includes(part), `the page holds ${part}`);
  }
}

test("every provider of the catalog is connected in the dialog", async (t) => {
  for (const standin of node.standins) {
    await t.test(standin.catalog_id, () => connect(standin, `The ${standin.catalog_id}`));
  }
  const providers = await node.api("GET", "/providers");
  assert.equal(providers.length, catalog.length);
});

test("all of them become ready", async () => {
  await page.goto(`${node.url}/providers`);
  for (const standin of node.standins) {
    await row(`The ${standin.catalog_id}`).getByText("Ready", { exact: true }).waitFor();
  }
});

test("a wrong key is found before it is saved, with what to do about it", async () => {
  await page.goto(`${node.url}/providers/new`);
  const standin = node.standin("openai_api");
  await dialog().getByRole("combobox", { name: "Provider" }).fill("openai");
  await page.getByRole("option", { name: "OpenAI API" }).first().click();
  await dialog().getByLabel("Upstream URL").fill(standin.url);
  await dialog().getByLabel("API key").fill(`sk-${node.marker}-wrong`);
  await dialog().getByText("Network, trust and rate").click();
  await dialog().getByRole("switch", { name: "Allow private addresses" }).click();
  await dialog().getByLabel("CA certificates").fill(standin.ca_pem);
  await dialog().getByRole("button", { name: "Test connection" }).click();
  await dialog().getByRole("alert").getByText("The provider refuses").waitFor();
  await dialog().getByText("platform.openai.com").first().waitFor();
  await assertNoKey();
  await page.keyboard.press("Escape");
  await dialog().waitFor({ state: "hidden" });
});

test("models are imported, priced and kept", async () => {
  await page.goto(`${node.url}/providers`);
  await row("The openai_api").getByRole("link").click();
  await dialog().getByText("leave empty to keep it").waitFor();
  await dialog().getByRole("button", { name: "Models and prices" }).click();
  await dialog().getByText("Only these").click();
  await dialog().getByRole("button", { name: "Import from the provider" }).click();
  await dialog().getByRole("checkbox").nth(1).check();
  await dialog().getByRole("button", { name: /^Add 1/ }).click();
  await dialog().getByRole("combobox", { name: "Add a model" }).fill("my-own-model");
  await page.keyboard.press("Enter");
  await dialog().getByLabel(/^Input of my-own-model/).fill("2.5");
  await dialog().getByRole("button", { name: "Save", exact: true }).click();
  await dialog().waitFor({ state: "hidden" });
  await row("The openai_api").getByText("2 configured").waitFor();
  const providers = await node.api("GET", "/providers");
  const { models } = providers.find((one) => one.name === "The openai_api");
  const own = models.find((one) => one.id === "my-own-model");
  assert.equal(own.input_per_1k, 0.0025);
});

test("a key is rotated after the new one was tried", async () => {
  await page.goto(`${node.url}/providers`);
  const before = await keysOf("The anthropic_api");
  await act("The anthropic_api", "Rotate key");
  await dialog().getByText(before[0].fingerprint).waitFor();
  await dialog().getByLabel("API key").fill(node.standin("anthropic_api").next_key);
  await assertNoKey();
  await dialog().getByRole("button", { name: "Rotate", exact: true }).click();
  await dialog().waitFor({ state: "hidden" });
  const after = await keysOf("The anthropic_api");
  assert.equal(after.length, 1);
  assert.notEqual(after[0].fingerprint, before[0].fingerprint);
});

test("a provider is disabled and enabled in its row", async () => {
  await page.goto(`${node.url}/providers`);
  const toggle = page.getByRole("switch", { name: "The ollama is enabled" });
  await toggle.click();
  await row("The ollama").getByText("Disabled", { exact: true }).waitFor();
  await toggle.click();
  await row("The ollama").getByText("Ready", { exact: true }).waitFor();
});

test("one that a policy uses is not removed, another one is", async () => {
  const providers = await node.api("GET", "/providers");
  const used = providers.find((one) => one.name === "The openai_api");
  await node.api("POST", "/policies", {
    name: "Uses it",
    source_groups: ["agents"],
    destination_provider_ids: [used.id],
  });
  await page.goto(`${node.url}/providers`);
  await act("The openai_api", "Remove");
  await dialog().getByText("is in use").waitFor();
  await dialog().getByRole("link", { name: "Uses it" }).waitFor();
  await page.keyboard.press("Escape");
  await act("The custom", "Remove");
  await dialog().getByRole("button", { name: "Remove provider" }).click();
  await row("The custom").waitFor({ state: "hidden" });
});

test("a page is found again after a reload", async () => {
  await page.goto(`${node.url}/providers?q=mistral`);
  await page.reload();
  await row("The mistral_api").waitFor();
  assert.equal(await page.getByRole("row").count(), 2);
});

test("agents are told how to reach the endpoint, as on the command line", async () => {
  await page.goto(`${node.url}/providers/agent-config?tool=codex`);
  const code = dialog().getByRole("region").filter({ hasText: "model_provider" });
  const shown = await code.textContent();
  const told = await node.keyway("agent-config", "codex");
  assert.ok(told.includes(shown.trim()), `${told}\n${shown}`);
  await page.keyboard.press("Escape");
});

test("no key was in the page, in storage, in an answer or in a request that needs none", async () => {
  const mayHold = [
    "POST /api/agent-network/providers",
    "POST /api/agent-network/providers/test",
    "POST /api/agent-network/catalog/providers/models",
  ];
  let sent = 0;
  for (const { what, text } of session.traffic.sent) {
    if (!text.includes(node.marker)) continue;
    sent += 1;
    const isRotation = /^POST \/api\/agent-network\/providers\/[^/]+\/keys$/.test(what);
    assert.ok(mayHold.includes(what) || isRotation, what);
    const [url, headers] = text.split("\n");
    assert.ok(!url.includes(node.marker) && !headers.includes(node.marker), what);
  }
  assert.ok(sent > 10, "the watch sees keys where they belong");
  for (const { what, text } of await Promise.all(session.traffic.received)) {
    assert.ok(!text.includes(node.marker), `an answer holds a key: ${what}`);
  }
  await assertNoKey();
  assert.deepEqual(session.traffic.complaints, []);
});

async function keysOf(name) {
  const providers = await node.api("GET", "/providers");
  const { id } = providers.find((one) => one.name === name);
  return node.api("GET", `/providers/${id}/keys`);
}
