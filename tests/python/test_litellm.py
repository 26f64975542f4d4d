"""A real LiteLLM Proxy as an upstream gateway; its models are mocked inside it."""

import json
import os
import secrets
import socket
import subprocess
import time
import urllib.request

import openai
import pytest

MODEL = "mocked-model"
# Says in a file who the proxy takes the caller for.
CALLBACKS = """
import json
from litellm.integrations.custom_logger import CustomLogger

class Seen(CustomLogger):
    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        told = [user_api_key_dict.end_user_id, data["user"], data["metadata"]["tags"]]
        with open(SEEN, "a") as seen:
            print(json.dumps(told), file=seen)

seen = Seen()
"""
START_SECONDS_MAX = 180


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def litellm(tmp_path_factory):
    """Base URL and key of a running proxy, and the file in which it notes who called."""
    directory = tmp_path_factory.mktemp("litellm")
    key, port = f"sk-{secrets.token_hex(24)}", free_port()
    config, seen = directory / "config.yaml", directory / "seen.jsonl"
    (directory / "callbacks.py").write_text(f"SEEN = {str(seen)!r}\n{CALLBACKS}")
    config.write_text(
        f"""
model_list:
  - model_name: {MODEL}
    litellm_params:
      model: openai/gpt-4o-mini
      api_key: unused
      mock_response: "This answer was mocked by LiteLLM."
general_settings:
  master_key: {key}
litellm_settings:
  num_retries: 0
  callbacks: ["callbacks.seen"]
"""
    )
    command = [os.environ["KEYWAY_LITELLM"], "--config", config, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    environment = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
    }
    # The endpoint's CA is the agents', not this proxy's.
    environment.pop("SSL_CERT_FILE", None)
    url = f"http://127.0.0.1:{port}"
    with open(directory / "log", "w+") as log:
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            deadline = time.monotonic() + START_SECONDS_MAX
            while True:
                try:
                    with urllib.request.urlopen(f"{url}/health/liveliness", timeout=2):
                        break
                except OSError:
                    assert process.poll() is None, (directory / "log").read_text()[-2000:]
                    assert time.monotonic() < deadline, (directory / "log").read_text()[-2000:]
                    time.sleep(0.2)
            yield url, key, seen
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def client(node, keyway, litellm):
    url, key, _ = litellm
    keyway(
        "providers", "connect", "litellm_proxy", "--name", "litellm", "--url", url,
        "--model", f"{MODEL}=0.001,0.002", "--allow-private=true", "--key-stdin",
        stdin=key,
    )  # fmt: skip
    keyway("policies", "add", "litellm", "--group", "agents", "--provider", "litellm")
    base_url = f"{node['base_url']}/v1"
    with openai.OpenAI(base_url=base_url, api_key="-", max_retries=0, timeout=60) as client:
        yield client


def test_chat_through_litellm(client, newest_record):
    answer = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "hello"}]
    )
    assert answer.choices[0].message.content == "This answer was mocked by LiteLLM."
    row = newest_record(lambda row: row["model"] == MODEL)
    assert row["outcome"] == "answered"
    assert row["input_tokens"] == answer.usage.prompt_tokens
    assert row["output_tokens"] == answer.usage.completion_tokens
    expected = answer.usage.prompt_tokens * 1e-6 + answer.usage.completion_tokens * 2e-6
    assert float(row["cost_usd"]) == pytest.approx(expected, rel=1e-6)


def test_stream_through_litellm(client, newest_record):
    stream = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "hello"}], stream=True
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "This answer was mocked by LiteLLM."
    row = newest_record(lambda row: row["model"] == MODEL and row["stream"])
    assert row["output_tokens"] > 0


def test_litellm_is_told_who_calls(client, litellm):
    """What the agent says of itself is replaced."""
    *_, seen = litellm
    client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "hello"}],
        user="root",
        extra_body={"metadata": {"tags": ["root"]}},
        extra_headers={"x-litellm-end-user-id": "root", "x-litellm-tags": "root"},
    )
    told = [json.loads(line) for line in seen.read_text().splitlines()]
    assert told
    for end_user, user, tags in told:
        assert (end_user, user) == ("sdk", "sdk")
        # It adds some of its own.
        assert "agents" in tags and "root" not in tags


def test_litellm_wants_its_key(client, litellm):
    """The proxy accepts the node's key and no other."""
    url, _, _ = litellm
    with pytest.raises(openai.APIStatusError):
        openai.OpenAI(base_url=f"{url}/v1", api_key="sk-wrong", max_retries=0).models.list()
    assert client.models.list().data


def test_its_models_are_imported_with_their_prices(keyway, litellm):
    url, key, _ = litellm
    keyway(
        "providers", "connect", "litellm_proxy", "--name", "imported", "--url", url,
        "--discover", "--allow-private=true", "--key-stdin",
        stdin=key,
    )  # fmt: skip
    try:
        provider = json.loads(keyway("providers", "show", "imported", "--output", "json"))
        (model,) = provider["models"]
        assert model["id"] == MODEL
        # What LiteLLM itself knows of gpt-4o-mini.
        assert (model["input_per_1k"], model["output_per_1k"]) == (0.00015, 0.0006)
    finally:
        keyway("providers", "remove", "imported")
