// A node with one provider and one policy behind the dashboard, and an agent that asks it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import https from "node:https";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const BINARY = fileURLToPath(new URL("../../target/debug/dashboard-node", import.meta.url));

export async function startTrafficNode() {
  const child = spawn(process.env.KEYWAY_DASHBOARD_NODE ?? BINARY, {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  const lines = createInterface({ input: child.stdout });
  const [line] = await Promise.race([
    once(lines, "line"),
    ended.then(([code]) => Promise.reject(new Error(`the node ended: ${code}`))),
  ]);
  const facts = JSON.parse(line);
  const api = async (method, path, body) => {
    const response = await fetch(`${facts.url}/api/agent-network${path}`, {
      method,
      headers: { authorization: `Token ${facts.token}`, "content-type": "application/json" },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  };
  const openai = facts.standins.find(({ catalog_id }) => catalog_id === "openai_api");
  const provider = await api("POST", "/providers", {
    provider_id: openai.catalog_id,
    name: "OpenAI",
    upstream_url: openai.url,
    api_key: openai.key,
    allow_private_addresses: true,
    ...(openai.ca_pem ? { ca_pem: openai.ca_pem } : {}),
  });
  await api("POST", "/policies", {
    name: "Agents",
    enabled: true,
    source_groups: ["agents"],
    destination_provider_ids: [provider.id],
  });
  return {
    ...facts,
    api,
    /** Status of the answer to one question of an agent. */
    ask: (path = "/v1/chat/completions") => ask(facts, path),
    async stop() {
      child.stdin.end();
      const [code] = await ended;
      if (code !== 0) throw new Error(`the node ended with ${code}`);
    },
  };
}

function ask({ endpoint, host, ca_pem }, path) {
  const [, port] = /:(\d+)$/.exec(endpoint) ?? [];
  const body = JSON.stringify({
    model: "gpt-4o-mini",
    messages: [{ role: "user", content: "How long is a day?" }],
  });
  return new Promise((resolve, reject) => {
    const request = https.request(
      {
        host: "127.0.0.1",
        port: Number(port),
        servername: host,
        ca: ca_pem,
        method: "POST",
        path,
        headers: {
          host: `${host}:${port}`,
          "content-type": "application/json",
          "content-length": Buffer.byteLength(body),
        },
      },
      (response) => {
        response.resume();
        response.on("end", () => resolve(response.statusCode));
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}
