// A node, stand-ins of everything that it can be connected with, and a browser that is logged in to its
// dashboard. What the browser sends and is sent is kept, to look for keys in it.

import { execFile, spawn } from "node:child_process";
import https from "node:https";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

import { chromium } from "playwright-core";

const CHROMIUM = process.env.KEYWAY_CHROMIUM ?? "/usr/bin/chromium";
/** Every step of a page happens within this time. */
const PATIENCE_MS = 15_000;

export async function startNode() {
  const child = spawn(process.env.KEYWAY_DASHBOARD_NODE, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const first = await Promise.race([
    new Promise((resolve) => lines.once("line", resolve)),
    ended.then((code) => Promise.reject(new Error(`the node ended: ${code}`))),
  ]);
  const facts = JSON.parse(first);
  const keyway = promisify(execFile);
  return {
    ...facts,
    /** The operator's command line; returns what it printed. */
    async keyway(...args) {
      return (await keyway(process.env.KEYWAY_BIN, ["--socket", facts.socket, ...args])).stdout;
    },
    /** The management API, past the dashboard. */
    async api(method, path, body) {
      const response = await fetch(`${facts.url}/api/agent-network${path}`, {
        method,
        headers: { authorization: `Token ${facts.token}`, "content-type": "application/json" },
        body: body && JSON.stringify(body),
      });
      const text = await response.text();
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
      return JSON.parse(text);
    },
    /** Connects a stand-in without the dashboard. */
    connect(catalogId, more = {}) {
      const standin = this.standin(catalogId);
      return this.api("POST", "/providers", {
        provider_id: catalogId,
        name: catalogId,
        upstream_url: standin.url,
        api_key: standin.key,
        ca_pem: standin.ca_pem ?? "",
        allow_private_addresses: true,
        ...more,
      });
    },
    standin: (catalogId) => facts.standins.find((one) => one.catalog_id === catalogId),
    /** One request of an agent, without a key. */
    ask(path, body) {
      const [address, port] = facts.endpoint.split(":");
      const options = {
        host: address,
        port,
        path,
        method: "POST",
        ca: facts.ca_pem,
        servername: facts.host,
        headers: { host: `${facts.host}:${port}`, "content-type": "application/json" },
      };
      return new Promise((resolve, reject) => {
        const request = https.request(options, (response) => {
          let text = "";
          response.on("data", (part) => (text += part));
          response.on("end", () => resolve({ status: response.statusCode, text }));
        });
        request.on("error", reject);
        request.end(JSON.stringify(body));
      });
    },
    async stop() {
      child.stdin.end();
      const code = await ended;
      if (code !== 0) throw new Error(`a stand-in was sent something that it refuses: ${code}`);
    },
  };
}

export async function startBrowser() {
  return chromium.launch({
    executablePath: CHROMIUM,
    // Chromium's own sandbox does not run as root; it sees nothing but the node on loopback.
    args: process.getuid() === 0 ? ["--no-sandbox"] : [],
  });
}

/** A page of its own, logged in by a one-time link. */
export async function logIn(browser, node, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 860 },
    reducedMotion: "reduce",
    ...options,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const traffic = watch(page);
  const link = (await node.keyway("dashboard")).match(/http:\S+/)[0];
  await page.goto(link);
  await page.getByRole("heading", { level: 1, name: "Providers" }).waitFor();
  return { page, traffic, close: () => context.close() };
}

/** What went over the wire, and what the browser complained about. */
function watch(page) {
  const traffic = { sent: [], received: [], complaints: [] };
  page.on("request", (request) => {
    const parts = [request.url(), JSON.stringify(request.headers()), request.postData() ?? ""];
    traffic.sent.push({ what: `${request.method()} ${new URL(request.url()).pathname}`, text: parts.join("\n") });
  });
  page.on("response", (response) => {
    traffic.received.push(
      response.text().then(
        (text) => ({ what: response.url(), text }),
        () => ({ what: response.url(), text: "" }),
      ),
    );
  });
  page.on("pageerror", (error) => traffic.complaints.push(error.message));
  page.on("console", (message) => {
    // A refused request is the node's word, which the page shows.
    const isAnswer = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !isAnswer) traffic.complaints.push(message.text());
  });
  return traffic;
}

/** Where a key could be left behind in a page. */
export async function leftovers(page) {
  return page.evaluate(async () => {
    const databases = await indexedDB.databases();
    const caches_ = await caches.keys();
    return [
      document.documentElement.outerHTML,
      location.href,
      document.cookie,
      JSON.stringify({ ...localStorage }),
      JSON.stringify({ ...sessionStorage }),
      JSON.stringify([databases, caches_, history.state]),
    ].join("\n");
  });
}
