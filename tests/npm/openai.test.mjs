// OpenAI's and Anthropic's JavaScript SDKs.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

import { startNode } from "./endpoint.mjs";

let node, openai, anthropic;

before(async () => {
  node = await startNode();
  openai = new OpenAI({ baseURL: `${node.base_url}/v1`, apiKey: "-", maxRetries: 0 });
  anthropic = new Anthropic({ baseURL: node.base_url, apiKey: "-", maxRetries: 0 });
});
after(() => node.stop());

const messages = (content) => [{ role: "user", content }];

test("openai: chat, whole and streamed", async () => {
  const model = "gpt-4o-mini";
  const answer = await openai.chat.completions.create({ model, messages: messages("a b [[events=3]]") });
  assert.equal(answer.choices[0].message.content, "word1 word2 word3");
  const stream = await openai.chat.completions.create({
    model,
    messages: messages("a b c [[events=9]]"),
    stream: true,
  });
  let text = "";
  for await (const chunk of stream) {
    assert.equal(chunk.usage ?? null, null);
    text += chunk.choices[0].delta.content ?? "";
  }
  assert.ok(text.includes("word9"));
  const row = await node.record((row) => row.stream && row.output_tokens === 9);
  assert.deepEqual([row.model, row.input_tokens, row.outcome], [model, 3, "answered"]);
});

test("openai: responses, embeddings, models, an error", async () => {
  const model = "gpt-4o-mini";
  const stream = await openai.responses.create({ model, input: "a b [[events=5]]", stream: true });
  const types = [];
  for await (const event of stream) types.push(event.type);
  assert.equal(types.at(-1), "response.completed");
  assert.equal((await openai.embeddings.create({ model, input: "one two" })).data[0].embedding.length, 4);
  const listed = await openai.models.list();
  assert.ok(listed.data.some((one) => one.id === model));
  await assert.rejects(
    openai.chat.completions.create({ model: "nobody-has-this", messages: messages("a") }),
    (error) =>
      error instanceof OpenAI.PermissionDeniedError && error.code === "llm_policy.model_not_routable",
  );
});

test("openai: a transcription's model is found behind its file", async () => {
  const file = new File([new Uint8Array(200_000)], "speech.mp3", { type: "audio/mpeg" });
  const answer = await openai.audio.transcriptions.create({ file, model: "gpt-4o-mini" });
  assert.equal(answer.text, "word1 word2");
  const row = await node.record((row) => row.path.endsWith("/audio/transcriptions"));
  assert.deepEqual([row.model, row.input_tokens, row.output_tokens], ["gpt-4o-mini", 14, 2]);
});

test("anthropic: messages, whole and streamed, tokens, models, an error", async () => {
  const model = "claude-sonnet-4-6";
  const answer = await anthropic.messages.create({
    model,
    max_tokens: 50,
    messages: messages("a b [[events=3]]"),
  });
  assert.equal(answer.content[0].text, "word1 word2 word3");
  const stream = anthropic.messages.stream({
    model,
    max_tokens: 50,
    messages: messages("a [[events=7 cached=11]]"),
  });
  assert.equal((await stream.finalMessage()).usage.output_tokens, 7);
  const row = await node.record((row) => row.stream && row.output_tokens === 7);
  assert.deepEqual([row.model, row.input_tokens, row.cached_input_tokens], [model, 12, 11]);
  const counted = await anthropic.messages.countTokens({ model, messages: messages("one two") });
  assert.equal(counted.input_tokens, 2);
  const listed = await anthropic.models.list();
  assert.ok(listed.data.some((one) => one.id === model && one.type === "model"));
  await assert.rejects(
    anthropic.messages.create({ model: "claude-nobody", max_tokens: 5, messages: messages("a") }),
    (error) => error instanceof Anthropic.PermissionDeniedError,
  );
});
