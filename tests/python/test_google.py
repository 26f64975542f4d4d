"""google-genai in both modes, AnthropicVertex and OpenAI-compatible clients against the keyless endpoint."""

import anthropic
import google.oauth2.credentials
import openai
import pytest
from google import genai
from google.genai import errors, types

MODEL = "gemini-3.8-flash"
CLAUDE = "claude-sonnet-5"
PROJECT = "standin-project"


@pytest.fixture(params=["gemini", "gemini-v1beta", "vertex"])
def client(node, request):
    # As the agent-config page says: no key exists, so a dummy stands where the SDK insists on one.
    options = types.HttpOptions(base_url=node["base_url"])
    if request.param == "vertex":
        credentials = google.oauth2.credentials.Credentials("-")
        client = genai.Client(
            vertexai=True,
            project=PROJECT,
            location="global",
            credentials=credentials,
            http_options=options,
        )
    else:
        if request.param == "gemini-v1beta":
            options.api_version = "v1beta"
        client = genai.Client(api_key="-", http_options=options)
    yield client
    client.close()


def of(client, operation, **fields):
    """Fits the records of this client's calls."""
    wanted = {
        "dialect": "vertex" if client.vertexai else "gemini",
        "operation": operation,
        **fields,
    }
    return lambda row: all(row[name] == value for name, value in wanted.items())


def test_generate_content(client, newest_record):
    answer = client.models.generate_content(
        model=MODEL, contents="one two three [[events=6 cached=30 reasoning=2]]"
    )
    assert answer.text.split()[-1] == "word6"
    assert answer.usage_metadata.prompt_token_count == 33
    row = newest_record(of(client, "generate_content", model=MODEL))
    assert (row["input_tokens"], row["output_tokens"], row["cached_input_tokens"]) == (33, 6, 30)
    assert float(row["cost_usd"]) == pytest.approx((3 * 0.75 + 30 * 0.075 + 6 * 3.75) / 1e6)


def test_generate_content_streamed(client, newest_record):
    chunks = client.models.generate_content_stream(
        model=MODEL, contents="one two [[events=9 ms=2 cached=5]]"
    )
    words = "".join(chunk.text or "" for chunk in chunks).split()
    assert words == [f"word{number}" for number in range(1, 10)]
    row = newest_record(of(client, "stream_generate_content", output_tokens=9))
    assert row["stream"] is True
    assert (row["input_tokens"], row["cached_input_tokens"]) == (7, 5)


async def test_generate_content_async(client):
    answer = await client.aio.models.generate_content(model=MODEL, contents="hi")
    assert answer.usage_metadata.candidates_token_count == 8
    stream = await client.aio.models.generate_content_stream(model=MODEL, contents="hi")
    words = [chunk.text async for chunk in stream if chunk.text]
    assert "".join(words).split()[-1] == "word8"


def test_count_tokens_and_embeddings(client, newest_record):
    counted = client.models.count_tokens(model=MODEL, contents="one two three")
    assert counted.total_tokens == 3
    made = client.models.embed_content(model="gemini-embedding-2", contents="one two")
    assert made.embeddings[0].values == [0.0, 0.25, 0.5, 1.0]
    row = newest_record(of(client, "embed_content"))
    assert (row["input_tokens"], row["output_tokens"]) == (2, 0)
    assert float(row["cost_usd"]) > 0


# In version v1 the listing's path is OpenAI's, and so is its shape.
@pytest.mark.parametrize("client", ["gemini-v1beta", "vertex"], indirect=True)
def test_models(client):
    names = [model.name for model in client.models.list()]
    assert any(name.endswith(f"/{MODEL}") for name in names)
    assert client.models.get(model=MODEL).name.endswith(MODEL)


def test_a_denied_model_raises_client_error(client):
    with pytest.raises(errors.ClientError) as denied:
        client.models.generate_content(model="gemini-nine", contents="hi")
    assert (denied.value.code, denied.value.status) == (403, "PERMISSION_DENIED")
    assert "llm_policy.model_not_routable" in str(denied.value.details)


def test_provider_errors_keep_their_class(client):
    with pytest.raises(errors.ClientError) as limited:
        client.models.generate_content(model=MODEL, contents="[[status=429]]")
    assert limited.value.code == 429
    with pytest.raises(errors.ServerError):
        list(client.models.generate_content_stream(model=MODEL, contents="[[status=503]]"))


def test_a_cut_stream_raises(client):
    with pytest.raises(Exception) as cut:
        list(client.models.generate_content_stream(model=MODEL, contents="[[events=20 cut=5]]"))
    assert "provider_cut" in str(cut.value) or not isinstance(cut.value, errors.APIError)


@pytest.fixture
def claude(node):
    with anthropic.AnthropicVertex(
        base_url=node["base_url"] + "/v1",
        project_id=PROJECT,
        region="global",
        access_token="-",
        max_retries=0,
    ) as client:
        yield client


def ask(prompt, **more):
    return {
        "model": f"{CLAUDE}@20260101",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": prompt}],
        **more,
    }


def test_anthropic_vertex(claude, newest_record):
    answer = claude.messages.create(**ask("one two [[events=3 cached=4 written=5]]"))
    assert answer.content[0].text.split()[-1] == "word3"
    row = newest_record(lambda row: row["model"].startswith(CLAUDE) and not row["stream"])
    assert (row["dialect"], row["operation"]) == ("vertex", "messages")
    assert (row["input_tokens"], row["output_tokens"]) == (11, 3)
    assert float(row["cost_usd"]) > 0
    with claude.messages.stream(**ask("one two [[events=7]]")) as stream:
        text = "".join(stream.text_stream)
    assert text.split()[-1] == "word7"
    row = newest_record(lambda row: row["model"].startswith(CLAUDE) and row["stream"])
    assert (row["input_tokens"], row["output_tokens"]) == (2, 7)
    counted = claude.messages.count_tokens(
        model=CLAUDE, messages=[{"role": "user", "content": "one two three"}]
    )
    assert counted.input_tokens == 3
    with pytest.raises(anthropic.PermissionDeniedError) as denied:
        claude.messages.create(**ask("hi") | {"model": "claude-nine"})
    assert "llm_policy.model_not_routable" in str(denied.value.body)


@pytest.mark.parametrize(
    ("base", "model"),
    [
        (f"/v1beta1/projects/{PROJECT}/locations/global/endpoints/openapi", f"google/{MODEL}"),
        ("/v1beta/openai", MODEL),
    ],
)
def test_openai_compatible(node, newest_record, base, model):
    with openai.OpenAI(base_url=node["base_url"] + base, api_key="-", max_retries=0) as client:
        messages = [{"role": "user", "content": "one two [[events=5]]"}]
        answer = client.chat.completions.create(model=model, messages=messages)
        assert answer.usage.completion_tokens == 5
        stream = client.chat.completions.create(model=model, messages=messages, stream=True)
        words = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
        assert "".join(words).split()[-1] == "word5"
        row = newest_record(
            lambda row: (row["model"], row["operation"]) == (model, "chat_completions")
            and row["stream"]
        )
        assert (row["input_tokens"], row["output_tokens"]) == (2, 5)
        with pytest.raises(openai.PermissionDeniedError):
            client.chat.completions.create(model="google/gemini-nine", messages=messages)
