"""Servers with OpenAI's shape, by the openai SDK: vLLM with a key and without, and Ollama's `/v1`."""

import openai
import pytest

SERVERS = [
    ("Qwen/Qwen3-8B", "vllm"),
    ("keyless-qwen", "vllm"),
    ("llama3.2:3b", "ollama"),
]


def messages(prompt):
    return [{"role": "user", "content": prompt}]


@pytest.fixture
def client(node):
    with openai.OpenAI(base_url=f"{node['base_url']}/v1", api_key="-", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model, catalog_id", SERVERS)
def test_chat(client, newest_record, model, catalog_id):
    answer = client.chat.completions.create(model=model, messages=messages("a b [[events=3]]"))
    assert answer.choices[0].message.content == "word1 word2 word3"
    row = newest_record(lambda row: row["model"] == model and row["output_tokens"] == 3)
    assert (row["input_tokens"], row["catalog_id"]) == (2, catalog_id)


@pytest.mark.parametrize("model, catalog_id", SERVERS)
def test_a_stream_is_metered_though_nobody_asked(client, newest_record, model, catalog_id):
    stream = client.chat.completions.create(
        model=model, messages=messages("a b c [[events=6 ms=2]]"), stream=True
    )
    chunks = list(stream)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text.split()[-1] == "word6"
    row = newest_record(lambda row: row["model"] == model and row["output_tokens"] == 6)
    assert (row["input_tokens"], row["catalog_id"]) == (3, catalog_id)


@pytest.mark.parametrize("model, catalog_id", SERVERS)
def test_completions_and_embeddings(client, newest_record, model, catalog_id):
    answer = client.completions.create(model=model, prompt="a b c d [[events=2]]")
    assert answer.choices[0].text == "word1 word2"
    answer = client.embeddings.create(model=model, input="one two")
    assert len(answer.data[0].embedding) == 4
    row = newest_record(lambda row: row["operation"] == "embeddings" and row["model"] == model)
    assert (row["input_tokens"], row["catalog_id"]) == (2, catalog_id)


def test_all_models_are_listed(client):
    listed = [model.id for model in client.models.list()]
    assert [model for model, _ in SERVERS if model not in listed] == []
    assert client.models.retrieve("Qwen/Qwen3-8B").id == "Qwen/Qwen3-8B"
