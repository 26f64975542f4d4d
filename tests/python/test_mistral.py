"""The mistralai SDK against the keyless endpoint. Its vendor refuses every field that it does not know."""

import pytest
from mistralai.client import Mistral
from mistralai.client.errors import SDKError

MODEL = "mistral-small-latest"


def messages(prompt):
    return [{"role": "user", "content": prompt}]


@pytest.fixture
def client(node):
    # Without a key it sends none.
    with Mistral(server_url=node["base_url"]) as client:
        yield client


def test_chat(client, newest_record):
    answer = client.chat.complete(model=MODEL, messages=messages("one two three four [[events=7]]"))
    assert answer.choices[0].message.content.endswith("word7")
    row = newest_record(lambda row: row["model"] == MODEL and row["output_tokens"] == 7)
    assert (row["input_tokens"], row["catalog_id"]) == (4, "mistral_api")
    assert float(row["cost_usd"]) == pytest.approx(4 * 150e-9 + 7 * 600e-9, rel=1e-9)


def test_a_stream_tells_its_usage_without_being_asked(client, newest_record):
    with client.chat.stream(model=MODEL, messages=messages("a b c [[events=9 ms=2]]")) as stream:
        chunks = [event.data for event in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text.split()[-1] == "word9"
    assert chunks[-1].usage.completion_tokens == 9
    row = newest_record(lambda row: row["model"] == MODEL and row["output_tokens"] == 9)
    assert (row["input_tokens"], row["stream"]) == (3, True)


async def test_chat_async(node):
    async with Mistral(server_url=node["base_url"]) as client:
        answer = await client.chat.complete_async(model=MODEL, messages=messages("hi"))
        assert answer.usage.completion_tokens == 8
        stream = await client.chat.stream_async(model=MODEL, messages=messages("hi"))
        words = [event.data.choices[0].delta.content async for event in stream]
    assert "".join(word or "" for word in words).split()[-1] == "word8"


def test_embeddings_and_models(client, newest_record):
    answer = client.embeddings.create(model=MODEL, inputs=["one two"])
    assert len(answer.data[0].embedding) == 4
    row = newest_record(lambda row: row["operation"] == "embeddings" and row["model"] == MODEL)
    assert row["outcome"] == "answered"
    assert MODEL in [model.id for model in client.models.list().data]


def test_denied_model(client):
    with pytest.raises(SDKError) as denied:
        client.chat.complete(model="mistral-nine", messages=messages("hi"))
    assert denied.value.status_code == 403
    assert "llm_policy.model_not_routable" in denied.value.body
