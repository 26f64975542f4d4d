// A node with strict stand-ins behind it, as every test file starts it, and ways for clients to find it.

import { execFile, spawn } from "node:child_process";
import dns from "node:dns";
import { readFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import tls from "node:tls";
import { promisify } from "node:util";

const RECORD_MILLISECONDS_MAX = 20_000;

/** Starts the node. In this process its name then resolves, and its CA is trusted. */
export async function startNode() {
  const child = spawn(process.env.KEYWAY_SDK_NODE, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const first = await Promise.race([
    new Promise((resolve) => lines.once("line", resolve)),
    ended.then((code) => Promise.reject(new Error(`the node ended: ${code}`))),
  ]);
  const facts = JSON.parse(first);

  // The one DNS record that an operator makes.
  const lookup = dns.lookup;
  dns.lookup = (host, ...rest) => lookup(host === facts.host ? "127.0.0.1" : host, ...rest);
  const roots = tls.getCACertificates("default");
  tls.setDefaultCACertificates([...roots, readFileSync(facts.ca_file, "utf8")]);

  const keyway = async (...args) => {
    const run = promisify(execFile)(process.env.KEYWAY_BIN, ["--socket", facts.socket, ...args]);
    return (await run).stdout;
  };
  return {
    ...facts,
    /** The operator's command line; returns what it printed. */
    keyway,
    /** `keyway …` with a key on standard input. */
    async keywayWithKey(key, ...args) {
      const run = promisify(execFile)(process.env.KEYWAY_BIN, ["--socket", facts.socket, ...args]);
      run.child.stdin.end(key);
      return (await run).stdout;
    },
    /** Waits for an access log entry that fits. */
    async record(fits) {
      const deadline = Date.now() + RECORD_MILLISECONDS_MAX;
      for (;;) {
        const listed = JSON.parse(await keyway("logs", "--output", "json"));
        const rows = Array.isArray(listed) ? listed : listed.data;
        const found = rows.find(fits);
        if (found) return found;
        if (Date.now() > deadline) throw new Error(JSON.stringify(rows.slice(0, 3)));
        await sleep(50);
      }
    },
    /** Stops it; an error when a provider saw something that it must not. */
    async stop() {
      child.stdin.end();
      const code = await ended;
      if (code !== 0) throw new Error(`the node ended with ${code}`);
    },
  };
}

/** A port that nobody uses. */
export async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * A CONNECT proxy for programs that cannot be told where the endpoint is: it leads to the endpoint and nowhere
 * else, and remembers where else they wanted to go.
 */
export async function onlyTo(node) {
  const refused = new Set();
  const server = http.createServer((request, response) => {
    refused.add(request.url);
    response.writeHead(403).end();
  });
  server.on("connect", (request, client, head) => {
    const [host, port] = request.url.split(":");
    if (host !== node.host) {
      refused.add(request.url);
      client.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      return;
    }
    const upstream = net.connect(Number(port), "127.0.0.1", () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      upstream.write(head);
      upstream.pipe(client).pipe(upstream);
    });
    upstream.on("error", () => client.destroy());
    client.on("error", () => upstream.destroy());
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    refused,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Runs a program to its end; what it printed and how it ended. */
export async function run(program, args, options) {
  const { input = "", milliseconds = 120_000, ...rest } = options;
  const child = spawn(program, args, { ...rest, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.end(input);
  const timer = setTimeout(() => child.kill("SIGKILL"), milliseconds);
  const read = async (stream) => {
    let text = "";
    for await (const piece of stream.setEncoding("utf8")) text += piece;
    return text;
  };
  const exit = new Promise((resolve) => child.once("exit", (code) => resolve(code)));
  const [stdout, stderr, code] = await Promise.all([read(child.stdout), read(child.stderr), exit]);
  clearTimeout(timer);
  return { stdout, stderr, code };
}
