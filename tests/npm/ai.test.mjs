// The Vercel AI SDK with its providers for OpenAI, for Anthropic and for compatible servers.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, generateText, streamText } from "ai";

import { startNode } from "./endpoint.mjs";

let node, models;

before(async () => {
  node = await startNode();
  const baseURL = `${node.base_url}/v1`;
  const openai = createOpenAI({ baseURL, apiKey: "-" });
  const anthropic = createAnthropic({ baseURL, apiKey: "-" });
  const compatible = createOpenAICompatible({ name: "own", baseURL });
  models = {
    responses: openai("gpt-4o-mini"),
    chat: openai.chat("gpt-4o-mini"),
    messages: anthropic("claude-sonnet-4-6"),
    compatible: compatible("Qwen/Qwen3-8B"),
    embedding: openai.embedding("gpt-4o-mini"),
  };
});
after(() => node.stop());

const SHAPES = ["responses", "chat", "messages", "compatible"];

for (const [at, shape] of SHAPES.entries()) {
  test(`${shape}: whole and streamed`, async () => {
    const model = models[shape];
    const whole = await generateText({ model, prompt: "a b [[events=4]]", maxRetries: 0 });
    assert.equal(whole.text, "word1 word2 word3 word4");
    assert.equal(whole.usage.outputTokens, 4);
    const words = 20 + at;
    const streamed = streamText({ model, prompt: `a b c [[events=${words}]]`, maxRetries: 0 });
    assert.equal((await streamed.text).trim().split(" ").at(-1), `word${words}`);
    const row = await node.record((row) => row.stream && row.output_tokens === words);
    assert.deepEqual([row.input_tokens, row.outcome], [3, "answered"]);
  });
}

test("embeddings", async () => {
  const { embedding } = await embed({ model: models.embedding, value: "one two", maxRetries: 0 });
  assert.ok(embedding.length > 0);
});

test("a refusal says why", async () => {
  const openai = createOpenAI({ baseURL: `${node.base_url}/v1`, apiKey: "-" });
  await assert.rejects(
    generateText({ model: openai("nobody-has-this"), prompt: "a", maxRetries: 0 }),
    (error) => error.statusCode === 403 && /model/.test(error.message),
  );
});
