"""The openai SDK's WebSockets against the keyless endpoint."""

import openai
import pytest
import websockets
from openai.lib.responses_websocket import (
    AsyncResponsesWebSocketSession,
    ResponsesWebSocketLimits,
)

MODEL = "gpt-4o-mini"


@pytest.fixture
def client(node):
    with openai.OpenAI(base_url=f"{node['base_url']}/v1", api_key="-", max_retries=0) as client:
        yield client


@pytest.fixture
async def aclient(node):
    async with openai.AsyncOpenAI(
        base_url=f"{node['base_url']}/v1", api_key="-", max_retries=0
    ) as client:
        yield client


def response(connection):
    """Events up to the end of one response."""
    events = []
    for event in connection:
        events.append(event)
        if event.type in ("response.completed", "error"):
            return events


def text(events):
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def test_several_responses_on_one_socket(client, newest_record):
    headers = {"OpenAI-Beta": "responses_websockets=2026-02-06"}
    with client.responses.connect(extra_headers=headers) as connection:
        connection.response.create(model=MODEL, input="one two [[events=21 cached=3]]")
        first = response(connection)
        assert text(first).split()[-1] == "word21"
        assert first[-1].response.usage.output_tokens == 21
        connection.response.create(
            model=MODEL,
            input="three [[events=22]]",
            previous_response_id=first[-1].response.id,
            store=False,
        )
        second = response(connection)
        assert second[-1].response.output_text.split()[-1] == "word22"
    for words, paid, cached in [(21, 2, 3), (22, 1, 0)]:
        row = newest_record(lambda row: row["output_tokens"] == words)
        assert (row["outcome"], row["operation"], row["stream"]) == ("answered", "responses", True)
        assert (row["input_tokens"], row["cached_input_tokens"]) == (paid + cached, cached)
        cost = paid * 150e-9 + cached * 75e-9 + words * 600e-9
        assert float(row["cost_usd"]) == pytest.approx(cost, rel=1e-9)


def test_a_denial_is_an_error_event(client, newest_record):
    with client.responses.connect() as connection:
        connection.response.create(model="gpt-twelve", input="hi")
        (event,) = response(connection)
        assert (event.type, event.status) == ("error", 403)
        assert event.error.code == "llm_policy.model_not_routable"
        connection.response.create(model=MODEL, input="hi [[status=429]]")
        assert response(connection)[-1].status == 429
        connection.response.create(model=MODEL, input="hi")
        assert text(response(connection)).split()[-1] == "word8"
    assert newest_record(lambda row: row["model"] == "gpt-twelve")["outcome"] == "denied"


async def test_conversations_side_by_side(aclient):
    limits = ResponsesWebSocketLimits(
        max_lanes=4,
        max_events_per_lane=128,
        max_events=256,
        max_bytes_per_lane=1 << 20,
        max_bytes=4 << 20,
    )
    async with aclient.responses.connect() as connection:
        async with AsyncResponsesWebSocketSession(connection, limits=limits) as session:
            lanes = {name: session.lane(name) for name in ("left", "right")}
            for words, lane in enumerate(lanes.values(), start=23):
                await lane.send(
                    {"type": "response.create", "model": MODEL, "input": f"[[events={words} ms=5]]"}
                )
            for words, lane in enumerate(lanes.values(), start=23):
                answer = await lane.get_final_response()
                assert answer.usage.output_tokens == words


async def test_realtime(aclient, newest_record):
    async with aclient.realtime.connect(model=MODEL) as connection:
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        for words in (25, 26):
            await connection.conversation.item.create(
                item={
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": f"say it [[events={words}]]"}],
                }
            )
            await connection.response.create()
            said = ""
            async for event in connection:
                if event.type == "response.output_text.delta":
                    said += event.delta
                elif event.type == "response.done":
                    assert event.response.usage.output_tokens == words
                    break
            assert said.split()[-1] == f"word{words}"
    for words in (25, 26):
        row = newest_record(lambda row: row["output_tokens"] == words)
        assert (row["operation"], row["model"], row["input_tokens"]) == ("realtime", MODEL, 2)
        assert float(row["cost_usd"]) == pytest.approx(2 * 150e-9 + words * 600e-9, rel=1e-9)


@pytest.mark.parametrize("is_classic", [True, False])
async def test_realtime_at_azure(node, newest_record, is_classic):
    deployment, words = "my-deployment", 27 + is_classic
    if is_classic:
        client = openai.AsyncAzureOpenAI(
            azure_endpoint=node["base_url"], api_key="-", api_version="2025-04-01-preview"
        )
    else:
        client = openai.AsyncOpenAI(base_url=f"{node['base_url']}/openai/v1", api_key="-")
    async with client, client.realtime.connect(model=deployment) as connection:
        item = {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": f"say it [[events={words}]]"}],
        }
        await connection.conversation.item.create(item=item)
        await connection.response.create()
        async for event in connection:
            if event.type == "response.done":
                assert event.response.usage.output_tokens == words
                break
    row = newest_record(lambda row: row["output_tokens"] == words)
    assert (row["operation"], row["model"], row["input_tokens"]) == ("realtime", deployment, 2)
    assert row["dialect"] == ("azure" if is_classic else "openai")
    # gpt-4o: $2.50 and $10 per million.
    assert float(row["cost_usd"]) == pytest.approx(2 * 2.5e-6 + words * 10e-6, rel=1e-6)


async def test_realtime_denied(aclient):
    with pytest.raises(websockets.exceptions.InvalidStatus) as denied:
        async with aclient.realtime.connect(model="gpt-twelve"):
            pass
    assert denied.value.response.status_code == 403
    assert b"llm_policy.model_not_routable" in denied.value.response.body
