// Usage, Logs, Peers, Admission, Settings and Audit in a browser, against a node that agents use.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";
import { startTrafficNode } from "./traffic_node.mjs";

const CHROMIUM = process.env.KEYWAY_CHROMIUM ?? "/usr/bin/chromium";
const ASKED = 4;

let node;
let browser;
let context;
let page;
/** What the browser complained about, such as the content security policy. */
const complaints = [];

before(async () => {
  node = await startTrafficNode();
  for (let asked = 0; asked < ASKED; asked += 1) assert.equal(await node.ask(), 200);
  assert.equal(await node.ask("/v1/nothing"), 404);
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  page = await context.newPage();
  page.on("console", (message) => {
    // Before the log-in, and to what a test gets wrong on purpose.
    const isExpected = /status of (401|422)/.test(message.text());
    if (message.type() === "error" && !isExpected) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(`${pages()}/usage`);
  await page.getByLabel("Access token").fill(node.token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Usage", level: 1 }).waitFor();
});

after(async () => {
  await browser?.close();
  await node?.stop();
});

beforeEach(() => complaints.splice(0));

/** Where the pages are from: the node, unless they are being written. */
function pages() {
  return process.env.KEYWAY_PAGES ?? node.url;
}

const open = (path) => page.goto(pages() + path);
const heading = (name) => page.getByRole("heading", { name });

async function isFlawless() {
  // What fades in has its contrast at the end.
  await page.evaluate(() =>
    Promise.allSettled(
      document
        .getAnimations()
        .filter(({ effect }) => effect.getComputedTiming().endTime !== Infinity)
        .map(({ finished }) => finished),
    ),
  );
  const { violations } = await new AxeBuilder({ page }).analyze();
  const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  assert.deepEqual(
    grave.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]),
    [],
  );
  assert.deepEqual(complaints, []);
}

test("usage is summed up, drawn, and said in a table", async () => {
  await open("/usage?show=requests");
  const table = page.getByRole("region", { name: "Usage over time" });
  const whole = table.locator("tfoot td").nth(1);
  await whole.waitFor();
  assert.equal(await whole.textContent(), String(ASKED + 1));
  await page.getByRole("group", { name: "Requests per day" }).focus();
  await page.keyboard.press("End");
  const spoken = page.getByRole("status").filter({ hasText: `Answered ${ASKED}` });
  await spoken.waitFor({ state: "attached" });
  await page.getByLabel("Split bars").selectOption("provider");
  await page.getByText("OpenAI").first().waitFor();
  assert.equal(new URL(page.url()).search, "?show=requests&by=provider");
  await page.reload();
  assert.equal(await page.getByLabel("Split bars").inputValue(), "provider");
  await isFlawless();
});

test("a request is found, opened by keyboard, and still there after a reload", async () => {
  await open("/logs");
  const rows = page.getByRole("region", { name: "the access log" }).locator("tbody tr");
  await rows.first().waitFor();
  assert.equal(await rows.count(), ASKED + 1);
  await page.getByLabel("Search", { exact: true }).fill("/v1/nothing");
  await page.waitForURL(/search=/);
  await rows.filter({ hasText: "Unknown path" }).waitFor();
  await page.getByRole("button", { name: "Clear filters" }).click();
  await page.getByLabel("Path begins with").fill("/v1/chat");
  await page.waitForURL(/path=/);
  const row = rows.filter({ hasText: "gpt-4o-mini" }).first();
  await row.getByRole("link").focus();
  await page.keyboard.press("Enter");
  const panel = page.getByRole("dialog");
  await panel.getByRole("row", { name: /Provider’s first byte/ }).waitFor();
  await page.reload();
  await panel.getByRole("table", { name: "Tokens and cost by component" }).waitFor();
  await panel.getByText("List price of the catalog").waitFor();
  await isFlawless();
  await page.keyboard.press("Escape");
  await panel.waitFor({ state: "hidden" });
  assert.match(page.url(), /\/logs\?path=/);
});

test("requests show up live, and wait while it is paused", async () => {
  await open("/logs?view=live");
  await page.getByText("Live", { exact: true }).last().waitFor();
  await heading("Waiting for the next request").waitFor();
  // The feed begins with what comes after it was asked for.
  const rows = page.getByRole("region", { name: "live requests" }).locator("tbody tr");
  await node.ask();
  await rows.first().waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  await node.ask();
  await page.getByRole("button", { name: "Go on · 1 new" }).click();
  await rows.nth(1).waitFor();
  await isFlawless();
});

test("a request without a session is one by itself", async () => {
  await open("/logs?view=sessions");
  const rows = page.getByRole("region", { name: "the sessions" }).locator("tbody tr");
  await rows.first().click();
  await page.getByRole("dialog").waitFor();
  assert.match(page.url(), /\/logs\/[0-9a-f]{32}\?view=sessions$/);
});

test("a peer is added, changed and removed", async () => {
  await open("/peers");
  await page.getByRole("link", { name: /alice/ }).waitFor();
  await page.getByRole("button", { name: "Add peer" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("build machine");
  await dialog.getByLabel("Overlay addresses").fill("not an address");
  await page.keyboard.press("Enter");
  await dialog.getByRole("button", { name: "Add peer" }).click();
  await dialog.getByRole("alert").waitFor();
  await dialog.getByRole("button", { name: "Take away not an address" }).click();
  await dialog.getByLabel("Overlay addresses").fill("100.92.14.7");
  await page.keyboard.press("Enter");
  await dialog.getByRole("button", { name: "Add peer" }).click();
  const link = page.getByRole("link", { name: /build machine/ });
  await link.click();
  await dialog.getByRole("button", { name: "Edit the peer" }).click();
  await dialog.getByRole("switch", { name: "Blocked" }).click();
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByText("Kept out").first().waitFor();
  await isFlawless();
  await link.click();
  await dialog.getByRole("button", { name: "Remove the peer" }).click();
  await dialog.getByRole("button", { name: "Remove peer" }).click();
  await link.waitFor({ state: "detached" });
  await page.getByRole("tab", { name: /Groups/ }).click();
  await page.getByRole("row", { name: /agents.*Agents/ }).waitFor();
});

test("admission says why nothing is in front, and what to do", async () => {
  await open("/admission");
  await page.getByText("Kernel admission is off").waitFor();
  await page.getByText("keyway check").waitFor();
  await isFlawless();
});

test("a token is shown once, and settings are saved", async () => {
  await open("/settings?tab=access");
  await page.getByRole("button", { name: "Make a token" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("Prometheus");
  await dialog.getByLabel("Role").selectOption("metrics");
  await dialog.getByRole("button", { name: "Make token" }).click();
  const token = await dialog.getByRole("region", { name: "Token" }).textContent();
  assert.match(token, /^kwt_/);
  await dialog.getByRole("button", { name: "I have it" }).click();
  await page.getByRole("row", { name: /Prometheus metrics/ }).waitFor();
  assert.ok(!(await page.content()).includes(token));
  await isFlawless();
  await page.getByRole("tab", { name: "Collection" }).click();
  await page.getByLabel("Keep rows for").selectOption("90");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Settings are saved").first().waitFor();
  assert.equal((await node.api("GET", "/settings")).access_log_retention_days, 90);
  await isFlawless();
});

test("the audit log has the change, before and after, and is whole", async () => {
  await open("/audit?kind=settings");
  const row = page.getByRole("row", { name: /access_log_retention_days/ });
  await row.getByRole("link").click();
  const panel = page.getByRole("dialog");
  await panel.getByRole("row", { name: "access_log_retention_days 30 90" }).waitFor();
  await isFlawless();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Verify" }).click();
  await panel.getByText("all as written").waitFor();
});
