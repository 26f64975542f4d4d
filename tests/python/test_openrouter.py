"""OpenRouter's SDK, and OpenRouter as an upstream."""

import pytest
from openrouter import OpenRouter

MODEL = "vendor/some-model"


@pytest.fixture
def client(node):
    with OpenRouter(api_key="-", server_url=f"{node['base_url']}/v1") as client:
        yield client


def test_chat(client, newest_record):
    messages = [{"role": "user", "content": "a b c [[events=3]]"}]
    answer = client.chat.send(model=MODEL, messages=messages)
    assert answer.choices[0].message.content == "word1 word2 word3"
    row = newest_record(lambda row: row["model"] == MODEL and row["output_tokens"] == 3)
    assert (row["input_tokens"], row["catalog_id"]) == (3, "openrouter")


def test_stream(client, newest_record):
    messages = [{"role": "user", "content": "a b [[events=4]]"}]
    text = ""
    with client.chat.send(model=MODEL, messages=messages, stream=True) as events:
        for event in events:
            text += event.choices[0].delta.content or "" if event.choices else ""
    assert text.split() == ["word1", "word2", "word3", "word4"]
    row = newest_record(lambda row: row["model"] == MODEL and row["stream"])
    assert (row["input_tokens"], row["output_tokens"]) == (2, 4)
