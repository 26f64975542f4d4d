// Ollama's own client, on its own API.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Ollama } from "ollama";

import { startNode } from "./endpoint.mjs";

const MODEL = "llama3.2:3b";

let node, ollama;

before(async () => {
  node = await startNode();
  ollama = new Ollama({ host: node.base_url });
});
after(() => node.stop());

test("chat, whole and streamed", async () => {
  const messages = [{ role: "user", content: "a b [[events=3]]" }];
  const answer = await ollama.chat({ model: MODEL, messages });
  assert.equal(answer.message.content, "word1 word2 word3");
  const whole = await node.record((row) => row.model === MODEL && row.output_tokens === 3);
  assert.deepEqual([whole.input_tokens, whole.stream, whole.dialect], [2, false, "ollama"]);

  const stream = await ollama.chat({
    model: MODEL, stream: true, messages: [{ role: "user", content: "a b c [[events=9 ms=2]]" }],
  });
  let text = "";
  for await (const part of stream) text += part.message.content;
  assert.ok(text.includes("word9"));
  const row = await node.record((row) => row.model === MODEL && row.output_tokens === 9);
  assert.deepEqual([row.input_tokens, row.stream, row.outcome], [3, true, "answered"]);
});

test("generate, embeddings, a model's details", async () => {
  const answer = await ollama.generate({ model: MODEL, prompt: "a b c d [[events=5]]" });
  assert.equal(answer.response, "word1 word2 word3 word4 word5");
  const row = await node.record((row) => row.path === "/api/generate");
  assert.deepEqual([row.input_tokens, row.output_tokens], [4, 5]);
  assert.equal((await ollama.embed({ model: MODEL, input: "one two" })).embeddings.length, 1);
  const embedded = await node.record((row) => row.path === "/api/embed");
  assert.equal(embedded.input_tokens, 2);
  assert.equal((await ollama.show({ model: MODEL })).details.family, "llama");
});

test("the list shows what the caller may use", async () => {
  const { models } = await ollama.list();
  assert.deepEqual(models.map((model) => model.name), [MODEL]);
});

test("what changes the server is out of reach, and other models are refused", async () => {
  await assert.rejects(ollama.pull({ model: MODEL }), (error) => error.status_code === 404);
  await assert.rejects(ollama.delete({ model: MODEL }), (error) => error.status_code === 404);
  await assert.rejects(
    ollama.chat({ model: "nobody-has-this", messages: [{ role: "user", content: "a" }] }),
    (error) => error.status_code === 403 && /serves this model/.test(error.error ?? error.message),
  );
});
