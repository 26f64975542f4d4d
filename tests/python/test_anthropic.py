"""The anthropic SDK against the keyless endpoint."""

import anthropic
import httpx2
import pytest

MODEL = "claude-sonnet-4-6"


def ask(prompt, **more):
    return {
        "model": MODEL,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": prompt}],
        **more,
    }


@pytest.fixture
def client(node):
    with anthropic.Anthropic(base_url=node["base_url"], api_key="-", max_retries=0) as client:
        yield client


@pytest.fixture
async def aclient(node):
    async with anthropic.AsyncAnthropic(
        base_url=node["base_url"], api_key="-", max_retries=0
    ) as client:
        yield client


def test_message(client, newest_record):
    answer = client.messages.create(
        **ask("one two three [[events=6 cached=30 written=20 written_long=10]]")
    )
    assert answer.content[0].text.split()[-1] == "word6"
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens) == (3, 30)
    row = newest_record(lambda row: row["model"] == MODEL and row["input_tokens"] == 63)
    assert (row["output_tokens"], row["cached_input_tokens"]) == (6, 30)
    assert row["cache_creation_tokens"] == 30
    assert float(row["cost_usd"]) > 0


def test_message_streamed(client, newest_record):
    with client.messages.stream(**ask("one two [[events=9 ms=2 cached=5]]")) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text.split() == [f"word{number}" for number in range(1, 10)]
    assert final.usage.output_tokens == 9
    row = newest_record(lambda row: row["model"] == MODEL and row["output_tokens"] == 9)
    assert row["input_tokens"] == 7


async def test_message_async(aclient):
    answer = await aclient.messages.create(**ask("hi"))
    assert answer.usage.output_tokens == 8
    async with aclient.messages.stream(**ask("hi")) as stream:
        words = [word async for word in stream.text_stream]
    assert "".join(words).split()[-1] == "word8"


def test_count_tokens(client):
    counted = client.messages.count_tokens(
        model=MODEL, messages=[{"role": "user", "content": "one two three"}]
    )
    assert counted.input_tokens == 3


def test_models(client):
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).id == MODEL


def test_batches(client, newest_record):
    request = {"custom_id": "one", "params": ask("hi")}
    batch = client.messages.batches.create(requests=[request])
    assert client.messages.batches.retrieve(batch.id).processing_status == "in_progress"
    assert client.messages.batches.cancel(batch.id).id == batch.id
    assert list(client.messages.batches.list()) == []
    row = newest_record(
        lambda row: row["path"] == "/v1/messages/batches" and row["method"] == "POST"
    )
    assert (row["operation"], row["unpriced"]) == ("unmetered", True)


def test_denied_model_raises_permission_denied(client):
    with pytest.raises(anthropic.PermissionDeniedError) as denied:
        client.messages.create(**ask("hi") | {"model": "claude-nine"})
    assert "llm_policy.model_not_routable" in str(denied.value.body)


def test_missing_model_raises_bad_request(client):
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.post("/v1/messages", body={"messages": []}, cast_to=object)
    assert "keyway.model_missing" in str(refused.value.body)


def test_provider_errors_keep_their_class(client):
    with pytest.raises(anthropic.RateLimitError):
        client.messages.create(**ask("[[status=429]]"))
    with pytest.raises(anthropic.APIStatusError) as overloaded:
        client.messages.create(**ask("[[status=529]]"))
    assert overloaded.value.status_code == 529


def test_a_cut_stream_raises(client):
    # In the middle of a stream the SDK hands on the transport's own error, if no error event came.
    with pytest.raises((anthropic.APIError, httpx2.TransportError)):
        with client.messages.stream(**ask("[[events=20 cut=5]]")) as stream:
            stream.until_done()
