// Every page in both themes: nothing serious for axe, nothing wider than the screen, a picture to look at; and the
// way to a connected provider by keyboard alone.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import AxeBuilder from "@axe-core/playwright";

import { logIn, startBrowser, startNode } from "./browser.mjs";

const PAGES = {
  providers: "/providers",
  connect: "/providers/new",
  "agent-config": "/providers/agent-config",
  policies: "/policies",
  policy: "/policies/new",
  explain: "/policies/explain",
  guardrails: "/guardrails",
  guardrail: "/guardrails/new",
  limits: "/limits",
  rule: "/limits/new",
  usage: "/usage",
  logs: "/logs",
  peers: "/peers",
  admission: "/admission",
  settings: "/settings",
  audit: "/audit",
  lost: "/no-such-page",
};
const WIDTHS = [360, 1280, 1600];
const SERIOUS = ["serious", "critical"];

let node, browser;

before(async () => {
  [node, browser] = await Promise.all([startNode(), startBrowser()]);
  mkdirSync(process.env.KEYWAY_SHOTS, { recursive: true });
});
after(async () => {
  await browser?.close();
  await node?.stop();
});

test("a provider is connected by keyboard alone", async () => {
  const { page, traffic, close } = await logIn(browser, node);
  const standin = node.standin("vllm");
  const press = (key) => page.keyboard.press(key);
  await press("Tab");
  assert.equal(await focused(page), "Skip to the page");
  await press("Enter");
  await tabTo(page, "Connect provider");
  await press("Enter");
  // The picker has the focus.
  await page.keyboard.type("vllm");
  await press("Enter");
  await page.getByLabel("Upstream URL").waitFor();
  await tabTo(page, "Upstream URL");
  await press("Control+A");
  await page.keyboard.type(standin.url);
  await tabTo(page, "API key optional");
  await page.keyboard.type(standin.key);
  await press("Enter");
  await page.getByText("Every model that vLLM serves").waitFor();
  await press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  assert.equal(await focused(page), "Connect provider", "the opener has the focus again");
  await press("Enter");
  await page.keyboard.type("vllm");
  await press("Enter");
  await tabTo(page, "Upstream URL");
  await press("Control+A");
  await page.keyboard.type(standin.url);
  await tabTo(page, "API key optional");
  await page.keyboard.type(standin.key);
  await press("Enter");
  await tabTo(page, "Connect");
  await press("Enter");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  await page.getByRole("row").filter({ hasText: "vLLM" }).getByText("Ready").waitFor();
  assert.deepEqual(traffic.complaints, []);
  await close();
});

for (const theme of ["light", "dark"]) {
  test(`every page is sound in the ${theme} theme`, async (t) => {
    if (theme === "light") await fill();
    const { page, traffic, close } = await logIn(browser, node, { colorScheme: theme });
    for (const [name, path] of Object.entries(PAGES)) {
      await t.test(name, async () => {
        await page.goto(node.url + path, { waitUntil: "networkidle" });
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: width < 600 ? 780 : 860 });
          const wide = await page.evaluate(() => document.documentElement.scrollWidth);
          assert.ok(wide <= width, `${name} is ${wide} wide on ${width}`);
          if (width < 1600) {
            const file = `${name}-${theme}-${width}.png`;
            await page.screenshot({ path: join(process.env.KEYWAY_SHOTS, file) });
          }
          // Colours differ between themes, what is there between widths.
          if (width === 1600 || (theme === "dark" && width === 360)) continue;
          const { violations } = await new AxeBuilder({ page }).analyze();
          const serious = violations.filter(({ impact }) => SERIOUS.includes(impact));
          const shown = serious.map(({ id, nodes }) => `${id}: ${nodes.map((one) => one.html).join(" | ")}`);
          assert.deepEqual(shown, [], `${name} at ${width}`);
        }
      });
    }
    assert.deepEqual(traffic.complaints, []);
    await close();
  });
}

/** Enough of everything that pages have something to show. */
async function fill() {
  const models = [{ id: "gpt-4o-mini" }, { id: "gpt-5.4-mini" }];
  const openai = await node.connect("openai_api", { name: "OpenAI", models });
  const anthropic = await node.connect("anthropic_api", { name: "Anthropic" });
  await node.connect("litellm_proxy", { name: "LiteLLM staging", enabled: false });
  const guardrail = await node.api("POST", "/guardrails", {
    name: "Small models",
    description: "For who is new here",
    checks: {
      model_allowlist: { enabled: true, models: ["gpt-4o-mini", "claude-haiku-*"] },
      prompt_capture: { enabled: true, redact_pii: true },
      output_limit: { enabled: true, max_tokens: 4096 },
    },
  });
  const limits = {
    token_limit: { enabled: true, group_cap: 2_000_000, user_cap: 200, window_seconds: 86_400 },
    budget_limit: { enabled: true, group_cap_usd: 250, user_cap_usd: 20, window_seconds: 2_592_000 },
    rate_limit: { enabled: true, user_requests_per_minute: 60, user_concurrency: 8 },
  };
  await node.api("POST", "/policies", {
    name: "Engineering",
    description: "Whoever builds",
    source_groups: ["agents"],
    destination_provider_ids: [openai.id, anthropic.id],
    limits: { ...limits, mode: "hard" },
  });
  await node.api("POST", "/policies", {
    name: "Interns",
    source_groups: ["interns", "agents"],
    destination_provider_ids: [openai.id],
    guardrail_ids: [guardrail.id],
    allowed_paths: ["/v1/chat/completions"],
  });
  await node.api("POST", "/budget-rules", { name: "Company", limits });
  for (const model of ["gpt-4o-mini", "gpt-5.4-mini", "no-such-model"]) {
    const messages = [{ role: "user", content: "hello" }];
    await node.ask("/v1/chat/completions", { model, max_tokens: 20, messages });
  }
}

/** Presses Tab until the control of this name has the focus. */
async function tabTo(page, name) {
  const seen = [];
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press("Tab");
    const now = await focused(page);
    if (now === name) return;
    seen.push(now);
  }
  assert.fail(`Tab never comes to ${name}: ${seen.join(", ")}`);
}

/** The name of what has the focus, as its label says. */
function focused(page) {
  return page.evaluate(() => {
    const element = document.activeElement;
    const label = element?.labels?.[0]?.textContent;
    return (label || element?.getAttribute("aria-label") || element?.textContent || "").trim();
  });
}
