"""LangChain's chat models over OpenAI and Anthropic."""

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI, OpenAIEmbeddings


@pytest.fixture
def models(node):
    openai = {"base_url": f"{node['base_url']}/v1", "api_key": "-", "max_retries": 0}
    return {
        "openai": ChatOpenAI(model="gpt-4o-mini", **openai),
        "responses": ChatOpenAI(model="gpt-4o-mini", use_responses_api=True, **openai),
        "anthropic": ChatAnthropic(
            model="claude-sonnet-4-6", base_url=node["base_url"], api_key="-", max_retries=0
        ),
    }


@pytest.mark.parametrize("name, words", [("openai", 31), ("responses", 32), ("anthropic", 33)])
def test_whole_and_streamed(models, newest_record, name, words):
    model = models[name]
    assert model.invoke("a b [[events=3]]").text.split()[-1] == "word3"
    text = "".join(chunk.text for chunk in model.stream(f"a b c [[events={words}]]"))
    assert text.split()[-1] == f"word{words}"
    row = newest_record(lambda row: row["output_tokens"] == words)
    assert (row["input_tokens"], row["stream"]) == (3, True)


def test_embeddings(node):
    base_url = f"{node['base_url']}/v1"
    embeddings = OpenAIEmbeddings(
        model="gpt-4o-mini", base_url=base_url, api_key="-", check_embedding_ctx_length=False
    )
    assert len(embeddings.embed_query("one two")) == 4
