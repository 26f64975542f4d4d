"""Azure OpenAI: classic deployments by AzureOpenAI, the v1 path by OpenAI, and plain requests."""

import httpx
import openai
import pytest

DEPLOYMENT = "my-deployment"
VERSION = "2024-10-21"


def messages(prompt):
    return [{"role": "user", "content": prompt}]


@pytest.fixture
def classic(node):
    with openai.AzureOpenAI(
        azure_endpoint=node["base_url"], api_key="-", api_version=VERSION, max_retries=0
    ) as client:
        yield client


def test_classic_chat_is_priced_as_its_model(classic, newest_record):
    answer = classic.chat.completions.create(
        model=DEPLOYMENT, messages=messages("a b c d [[events=3]]")
    )
    assert answer.choices[0].message.content == "word1 word2 word3"
    row = newest_record(lambda row: row["model"] == DEPLOYMENT and row["output_tokens"] == 3)
    assert (row["dialect"], row["operation"], row["input_tokens"]) == (
        "azure", "chat_completions", 4,
    )  # fmt: skip
    # gpt-4o: $2.50 and $10 per million.
    assert float(row["cost_usd"]) == pytest.approx(4 * 2.5e-6 + 3 * 10e-6, rel=1e-6)


def test_a_classic_stream_begins_with_an_empty_chunk(classic, newest_record):
    stream = classic.chat.completions.create(
        model=DEPLOYMENT, messages=messages("a b [[events=5]]"), stream=True
    )
    chunks = list(stream)
    assert (chunks[0].choices, chunks[0].usage) == ([], None)
    assert all(chunk.choices for chunk in chunks[1:]), "the usage chunk was not asked for"
    row = newest_record(lambda row: row["model"] == DEPLOYMENT and row["output_tokens"] == 5)
    assert (row["input_tokens"], row["stream"]) == (2, True)


def test_classic_embeddings_and_responses(classic, newest_record):
    assert len(classic.embeddings.create(model=DEPLOYMENT, input="one two").data) == 1
    row = newest_record(lambda row: row["operation"] == "embeddings" and row["dialect"] == "azure")
    assert (row["model"], row["input_tokens"]) == (DEPLOYMENT, 2)
    # Without a deployment in its path.
    answer = classic.responses.create(model=DEPLOYMENT, input="a b c [[events=4]]")
    assert answer.output_text == "word1 word2 word3 word4"
    assert classic.responses.retrieve(answer.id).id == answer.id


def test_the_path_decides(node, newest_record):
    """Plain requests name no model in the body; one that names another does not get it."""
    url = f"{node['base_url']}/openai/deployments/{DEPLOYMENT}/chat/completions"
    for more in ({}, {"model": "gpt-4o-mini"}):
        body = {"messages": messages("a [[events=6]]"), **more}
        answer = httpx.post(url, params={"api-version": VERSION}, json=body)
        assert answer.status_code == 200, answer.text
    azure = {"catalog_id": "azure_openai_api", "output_tokens": 6}
    row = newest_record(lambda row: azure.items() <= row.items())
    assert row["model"] == DEPLOYMENT


def test_an_unknown_deployment(classic):
    with pytest.raises(openai.PermissionDeniedError) as refused:
        classic.chat.completions.create(model="nobody-has-this", messages=messages("a"))
    assert refused.value.code == "llm_policy.model_not_routable"


def test_v1(node, newest_record):
    base_url = f"{node['base_url']}/openai/v1"
    with openai.OpenAI(base_url=base_url, api_key="-", max_retries=0) as client:
        answer = client.chat.completions.create(
            model=DEPLOYMENT, messages=messages("a b c [[events=7]]")
        )
    assert answer.choices[0].message.content.split()[-1] == "word7"
    row = newest_record(lambda row: row["output_tokens"] == 7 and row["model"] == DEPLOYMENT)
    assert (row["dialect"], row["catalog_id"]) == ("openai", "azure_openai_api")
