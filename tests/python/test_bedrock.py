"""boto3 and AnthropicBedrock against the keyless endpoint, and botocore's judgement of the node's signatures."""

import base64
import json
import ssl
import urllib.request

import anthropic
import boto3
import botocore.auth
import botocore.exceptions
import pytest
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

NOVA = "amazon.nova-lite-v1:0"
CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
SIGNED = "amazon.nova-pro-v1:0"
PREFIXES = ["", "/bedrock"]


def ask(prompt):
    return [{"role": "user", "content": [{"text": prompt}]}]


@pytest.fixture(params=PREFIXES)
def client(node, monkeypatch, request):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "-")
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=node["base_url"] + request.param,
        verify=node["ca_file"],
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def claude(node):
    with anthropic.AnthropicBedrock(
        base_url=node["base_url"] + "/bedrock", api_key="-", aws_region="us-east-1", max_retries=0
    ) as client:
        yield client


@pytest.fixture
def seen(node):
    """What a stand-in was sent, newest last."""

    def fetch(name):
        facts = node["seen"][name]
        context = ssl.create_default_context(cafile=facts["ca_file"])
        with urllib.request.urlopen(facts["url"], context=context) as answer:
            return json.load(answer), facts["key"]

    return fetch


def test_converse(client, newest_record):
    answer = client.converse(
        modelId=NOVA, messages=ask("one two three [[events=6 cached=30 written=20 written_long=10]]")
    )
    assert answer["output"]["message"]["content"][0]["text"].split()[-1] == "word6"
    assert answer["usage"]["inputTokens"] == 3
    row = newest_record(lambda row: row["model"] == NOVA and row["input_tokens"] == 63)
    assert (row["output_tokens"], row["cached_input_tokens"]) == (6, 30)
    assert (row["cache_creation_tokens"], row["operation"]) == (30, "converse")
    assert float(row["cost_usd"]) > 0


def test_converse_streamed(client, newest_record):
    answer = client.converse_stream(modelId=NOVA, messages=ask("one two [[events=9 ms=2 cached=4]]"))
    events = list(answer["stream"])
    deltas = [event["contentBlockDelta"] for event in events if "contentBlockDelta" in event]
    text = "".join(delta["delta"]["text"] for delta in deltas)
    assert text.split() == [f"word{number}" for number in range(1, 10)]
    assert events[-1]["metadata"]["usage"]["outputTokens"] == 9
    row = newest_record(lambda row: row["operation"] == "converse_stream" and row["output_tokens"] == 9)
    assert (row["input_tokens"], row["stream"], row["outcome"]) == (6, True, "answered")


@pytest.mark.parametrize("model", [NOVA, "meta.llama3-3-70b-instruct-v1:0", "cohere.command-r-v1:0"])
def test_invoke(client, newest_record, model):
    body = {"messages": ask("one two three four [[events=5]]")}
    answer = client.invoke_model(modelId=model, body=json.dumps(body))
    assert "word5" in answer["body"].read().decode()
    row = newest_record(lambda row: row["model"] == model and row["operation"] == "invoke")
    assert (row["input_tokens"], row["output_tokens"]) == (4, 5)
    # The catalog has no price for Cohere's.
    assert row["unpriced"] == model.startswith("cohere")


@pytest.mark.parametrize("model", [NOVA, "meta.llama3-3-70b-instruct-v1:0", "cohere.command-r-v1:0"])
def test_invoke_streamed(client, newest_record, model):
    body = {"messages": ask("one two three [[events=7]]")}
    answer = client.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
    chunks = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    assert chunks[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 7
    row = newest_record(lambda row: row["model"] == model and row["operation"] == "invoke_stream")
    assert (row["input_tokens"], row["output_tokens"]) == (3, 7)


def test_an_inference_profile_by_its_arn(client, newest_record):
    arn = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{CLAUDE}"
    client.converse(modelId=arn, messages=ask("hi"))
    row = newest_record(lambda row: row["model"] == arn)
    # The price of the profile, $1.10 and $5.50, for one token in and eight out.
    assert float(row["cost_usd"]) == pytest.approx((1.1 + 8 * 5.5) / 1e6)
    assert row["left_out"] == []


def test_count_tokens(client):
    counted = client.count_tokens(
        modelId=CLAUDE, input={"converse": {"messages": ask("one two three")}}
    )
    assert counted["inputTokens"] == 3


def test_apply_guardrail(client):
    applied = client.apply_guardrail(
        guardrailIdentifier="arn:aws:bedrock:us-east-1:123456789012:guardrail/abc",
        guardrailVersion="1",
        source="INPUT",
        content=[{"text": {"text": "hi"}}],
    )
    assert applied["action"] == "NONE"


def test_denied_raises_access_denied(client):
    with pytest.raises(client.exceptions.AccessDeniedException) as denied:
        client.converse(modelId="amazon.nova-micro-v1:0", messages=ask("hi"))
    assert denied.value.response["message"] == "no connected provider serves this model"
    assert denied.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_provider_errors_keep_their_class(client):
    for status, name in [(429, "ThrottlingException"), (403, "AccessDeniedException")]:
        with pytest.raises(getattr(client.exceptions, name)):
            client.converse(modelId=NOVA, messages=ask(f"[[status={status}]]"))


def test_an_exception_in_a_stream_raises_and_is_recorded(client, newest_record):
    answer = client.converse_stream(modelId=NOVA, messages=ask("[[events=9 exception=3]]"))
    with pytest.raises(botocore.exceptions.EventStreamError) as raised:
        list(answer["stream"])
    assert raised.value.response["Error"]["Code"] == "throttlingException"
    row = newest_record(lambda row: row["reason"] == "provider_error_event")
    assert row["outcome"] == "provider_error"


def test_a_cut_stream_raises(client):
    answer = client.converse_stream(modelId=NOVA, messages=ask("[[events=20 cut=5]]"))
    with pytest.raises((botocore.exceptions.EventStreamError, botocore.exceptions.HTTPClientError)) as raised:
        list(answer["stream"])
    assert "internalServerException" in str(raised.value)


def message(prompt, **more):
    return {
        "model": CLAUDE,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": prompt}],
        **more,
    }


def test_anthropic_bedrock(claude, newest_record):
    answer = claude.messages.create(
        **message("one two three [[events=6 cached=30 written=20 written_long=10]]")
    )
    assert answer.content[0].text.split()[-1] == "word6"
    row = newest_record(lambda row: row["model"] == CLAUDE and row["input_tokens"] == 63)
    assert (row["output_tokens"], row["cached_input_tokens"]) == (6, 30)
    assert row["cache_creation_tokens"] == 30
    assert row["left_out"] == []


def test_anthropic_bedrock_streamed(claude, newest_record):
    with claude.messages.stream(**message("one two [[events=9 ms=2 cached=5]]")) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text.split() == [f"word{number}" for number in range(1, 10)]
    assert final.usage.output_tokens == 9
    row = newest_record(lambda row: row["model"] == CLAUDE and row["output_tokens"] == 9)
    assert (row["input_tokens"], row["outcome"]) == (7, "answered")


def test_anthropic_bedrock_errors(claude):
    with pytest.raises(anthropic.RateLimitError):
        claude.messages.create(**message("[[status=429]]"))
    with pytest.raises((anthropic.APIError, ValueError)):
        with claude.messages.stream(**message("[[events=9 cut=3]]")) as stream:
            stream.until_done()


def test_botocore_agrees_with_the_nodes_signatures(client, seen, monkeypatch):
    arn = f"arn:aws:bedrock:eu-central-1::foundation-model/{SIGNED}"
    client.converse(modelId=SIGNED, messages=ask("hi"))
    list(client.converse_stream(modelId=arn, messages=ask("hi"))["stream"])
    client.invoke_model(modelId=SIGNED, body=json.dumps({"messages": ask("hi")}))
    requests, key = seen("bedrock-signed")
    identity, secret, token = key.removeprefix("iam@eu-central-1::").split(":")
    assert len(requests) >= 3
    for request in requests:
        headers = dict(request["headers"])
        scope, signed, _ = headers["authorization"].split(", ")
        names = signed.removeprefix("SignedHeaders=").split(";")
        again = AWSRequest(
            request["method"],
            f"https://{headers['host']}{request['target']}",
            headers={name: headers[name] for name in names if name != "x-amz-date"},
            data=base64.b64decode(request["body"]),
        )
        signer = botocore.auth.SigV4Auth(Credentials(identity, secret, token), "bedrock", "eu-central-1")
        again.context["timestamp"] = headers["x-amz-date"]
        again.headers["X-Amz-Date"] = headers["x-amz-date"]
        canonical = signer.canonical_request(again)
        expected = signer.signature(signer.string_to_sign(again, canonical), again)
        assert headers["authorization"].endswith(f"Signature={expected}"), canonical
