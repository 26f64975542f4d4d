"""Hosts of other vendors' models, by the SDKs of the shapes that they have."""

import anthropic
import openai
import pytest

OPENAI = [
    ("kimi-k3", "kimi_api"),
    ("creator/some-model", "vercel_ai_gateway"),
    ("cloudflare-model", "cloudflare_ai_gateway"),
    ("openai/some-model", "bifrost"),
]
ANTHROPIC = [
    ("kimi-k3", "kimi_api"),
    ("creator/some-model", "vercel_ai_gateway"),
    ("cloudflare-claude", "cloudflare_ai_gateway"),
    ("anthropic/some-model", "bifrost"),
    ("vendor/some-model", "openrouter"),
]


def messages(prompt):
    return [{"role": "user", "content": prompt}]


def row_of(newest_record, model, dialect, output_tokens):
    return newest_record(
        lambda row: row["model"] == model
        and row["dialect"] == dialect
        and row["output_tokens"] == output_tokens
    )


@pytest.mark.parametrize("model, catalog_id", OPENAI)
def test_openai_shape(node, newest_record, model, catalog_id):
    base_url = f"{node['base_url']}/v1"
    with openai.OpenAI(base_url=base_url, api_key="-", max_retries=0) as client:
        ask = client.chat.completions.create
        answer = ask(model=model, messages=messages("a b c [[events=3]]"))
        assert answer.choices[0].message.content == "word1 word2 word3"
        chunks = list(ask(model=model, messages=messages("a b [[events=5]]"), stream=True))
    assert all(chunk.choices for chunk in chunks), "the usage chunk was not asked for"
    row = row_of(newest_record, model, "openai", 3)
    assert (row["input_tokens"], row["catalog_id"], row["stream"]) == (3, catalog_id, False)
    row = row_of(newest_record, model, "openai", 5)
    assert (row["input_tokens"], row["stream"]) == (2, True)


@pytest.mark.parametrize("model, catalog_id", ANTHROPIC)
def test_anthropic_shape(node, newest_record, model, catalog_id):
    with anthropic.Anthropic(base_url=node["base_url"], api_key="-", max_retries=0) as client:
        answer = client.messages.create(
            model=model, max_tokens=64, messages=messages("a b c [[events=4]]")
        )
        assert answer.content[0].text == "word1 word2 word3 word4"
        with client.messages.stream(
            model=model, max_tokens=64, messages=messages("a b [[events=6]]")
        ) as stream:
            assert stream.get_final_text().split()[-1] == "word6"
    row = row_of(newest_record, model, "anthropic", 4)
    assert (row["input_tokens"], row["catalog_id"], row["stream"]) == (3, catalog_id, False)
    row = row_of(newest_record, model, "anthropic", 6)
    assert (row["input_tokens"], row["stream"]) == (2, True)
