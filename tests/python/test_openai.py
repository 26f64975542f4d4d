"""The openai SDK against the keyless endpoint."""

import openai
import pytest

MODEL = "gpt-4o-mini"


def messages(prompt):
    return [{"role": "user", "content": prompt}]


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


def test_chat(client, newest_record):
    answer = client.chat.completions.create(
        model=MODEL, messages=messages("one two three four five six seven")
    )
    assert answer.choices[0].message.content.endswith("word8")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 8)
    row = newest_record(lambda row: row["model"] == MODEL and row["input_tokens"] == 7)
    assert row["output_tokens"] == 8
    assert row["outcome"] == "answered"
    assert float(row["cost_usd"]) == pytest.approx(7 * 150e-9 + 8 * 600e-9, rel=1e-9)


def test_chat_streamed(client):
    stream = client.chat.completions.create(
        model=MODEL, messages=messages("hello [[events=12 ms=2]]"), stream=True
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.split() == [f"word{number}" for number in range(1, 13)]
    assert all(chunk.usage is None for chunk in chunks), "usage that was not asked for"


def test_chat_streamed_with_usage(client, newest_record):
    stream = client.chat.completions.create(
        model=MODEL,
        messages=messages("a b c d e f g h i [[events=13 cached=40]]"),
        stream=True,
        stream_options={"include_usage": True},
    )
    usage = list(stream)[-1].usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (49, 13)
    row = newest_record(lambda row: row["model"] == MODEL and row["output_tokens"] == 13)
    assert (row["input_tokens"], row["cached_input_tokens"]) == (49, 40)


async def test_chat_async(aclient):
    answer = await aclient.chat.completions.create(model=MODEL, messages=messages("hi"))
    assert answer.usage.completion_tokens == 8
    stream = await aclient.chat.completions.create(
        model=MODEL, messages=messages("hi"), stream=True
    )
    words = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
    assert "".join(word or "" for word in words).split()[-1] == "word8"


def test_responses(client):
    answer = client.responses.create(model=MODEL, input="one two [[events=4]]")
    assert answer.output_text.split() == ["word1", "word2", "word3", "word4"]
    with client.responses.stream(model=MODEL, input="one two [[events=4]]") as stream:
        kinds = [event.type for event in stream]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


def test_stored_responses(client):
    made = client.responses.create(model=MODEL, input="one two three")
    assert client.responses.retrieve(made.id).output_text == made.output_text
    assert list(client.responses.input_items.list(made.id)) == []
    assert client.responses.cancel(made.id).status == "cancelled"
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    counted = client.responses.input_tokens.count(model=MODEL, input="one two three")
    assert counted.input_tokens == 3


def test_a_background_response_is_billed_once(client, newest_record):
    prompt = "one two three four five six [[events=11 polls=2]]"
    job = client.responses.create(model=MODEL, input=prompt, background=True)
    assert (job.status, job.usage) == ("queued", None)
    statuses = [client.responses.retrieve(job.id).status for _ in range(4)]
    assert statuses == ["queued", "completed", "completed", "completed"]
    row = newest_record(lambda row: row["output_tokens"] == 11)
    assert (row["operation"], row["model"], row["input_tokens"]) == ("stored_response", MODEL, 6)
    assert float(row["cost_usd"]) == pytest.approx(6 * 150e-9 + 11 * 600e-9, rel=1e-9)


def test_embeddings_and_models(client):
    answer = client.embeddings.create(model=MODEL, input="one two")
    assert len(answer.data[0].embedding) == 4
    assert MODEL in [model.id for model in client.models.list()]


def test_files_and_batches(client):
    file = client.files.create(file=("a.jsonl", b"{}\n"), purpose="batch")
    assert file.bytes > 3
    assert client.files.retrieve(file.id).id == file.id
    assert client.files.content(file.id).read() == b"{}\n"
    assert list(client.files.list()) == []
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert client.batches.retrieve(batch.id).input_file_id == file.id
    assert client.batches.cancel(batch.id).status == "cancelled"
    assert list(client.batches.list()) == []
    assert client.files.delete(file.id).deleted


def test_audio_and_images(client, newest_record):
    speech = client.audio.speech.create(model=MODEL, voice="alloy", input="hello")
    assert speech.read().startswith(b"ID3")
    heard = client.audio.transcriptions.create(model=MODEL, file=("a.mp3", b"ID3"))
    assert heard.text == "word1 word2"
    image = client.images.generate(model=MODEL, prompt="an otter")
    assert image.data[0].b64_json
    row = newest_record(lambda row: row["path"] == "/v1/images/generations")
    assert (row["operation"], row["unpriced"]) == ("unmetered", True)


def test_streamed_audio_and_images_are_metered(client, newest_record):
    def media(path, output_tokens):
        row = newest_record(
            lambda row: (row["path"], row["output_tokens"]) == (path, output_tokens)
        )
        used = {kind: count for kind, count in row["beyond_text"]["media"].items() if count}
        return row["input_tokens"], used, row["outcome"]

    heard = client.audio.transcriptions.create(model=MODEL, file=("a.mp3", b"ID3"), stream=True)
    assert [event.type for event in heard][-1] == "transcript.text.done"
    audio = {"audio_input_tokens": 14}
    assert media("/v1/audio/transcriptions", 3) == (14, audio, "answered")
    drawn = list(client.images.generate(model=MODEL, prompt="an otter", stream=True))
    assert drawn[-1].usage.output_tokens == 272
    images = {"image_output_tokens": 272}
    assert media("/v1/images/generations", 272) == (10, images, "answered")
    streaming = client.audio.speech.with_streaming_response
    with streaming.create(
        model=MODEL, voice="alloy", input="hello", stream_format="sse"
    ) as speech:
        assert "speech.audio.done" in speech.read().decode()
    assert media("/v1/audio/speech", 101) == (14, {"audio_output_tokens": 101}, "answered")


def test_denied_model_raises_permission_denied(client):
    with pytest.raises(openai.PermissionDeniedError) as denied:
        client.chat.completions.create(model="gpt-nine", messages=messages("hi"))
    assert denied.value.code == "llm_policy.model_not_routable"


def test_missing_model_raises_bad_request(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/chat/completions", body={"messages": []}, cast_to=object)
    assert refused.value.code == "keyway.model_missing"


def test_provider_errors_keep_their_class(client):
    with pytest.raises(openai.RateLimitError) as limited:
        client.chat.completions.create(
            model=MODEL, messages=messages("[[status=429 retry_after=3]]")
        )
    assert limited.value.response.headers["retry-after"] == "3"
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model=MODEL, messages=messages("[[status=500]]"))


def test_a_cut_stream_raises(client, newest_record):
    stream = client.chat.completions.create(
        model=MODEL, messages=messages("[[events=20 cut=5]]"), stream=True
    )
    with pytest.raises(openai.APIError):
        list(stream)
    assert newest_record(lambda row: row["outcome"] == "cut")["stream"] is True
