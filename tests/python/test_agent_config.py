"""The programs that `keyway agent-config` prints, run as they are."""

import json
import subprocess
from urllib.parse import urlsplit

import pytest

# Of PyPI: openai, anthropic, langchain-openai, langchain-anthropic, boto3, google-genai.
PROGRAMS = [
    ("openai", "openai"),
    ("anthropic", "anthropic"),
    ("anthropic", "bedrock"),
    ("anthropic", "vertex"),
    ("langchain", "openai"),
    ("langchain", "anthropic"),
    ("boto3", "bedrock"),
    ("google-genai", "vertex"),
    ("google-genai", "gemini"),
]


@pytest.fixture
def setup(node, keyway, monkeypatch):
    """Puts what is printed into the environment and returns the code in a language."""

    def printed(tool, via, language):
        words = ["agent-config", tool, "--via", via, "--ca-file", node["ca_file"]]
        words += ["--project", "standin-project"] if via == "vertex" else []
        setup = json.loads(keyway(*words, "--output", "json"))
        for block in setup["blocks"]:
            for name, value in block.get("variables", {}).items():
                monkeypatch.setenv(name, value)
        (code,) = [b["content"] for b in setup["blocks"] if b.get("language") == language]
        return code

    return printed


@pytest.mark.parametrize("tool, via", PROGRAMS)
def test_a_printed_program_answers(setup, capsys, tool, via):
    exec(setup(tool, via, "python"), {})
    assert capsys.readouterr().out.startswith("word1")


@pytest.mark.parametrize("via", ["openai", "anthropic"])
def test_a_printed_curl_answers(node, setup, monkeypatch, tmp_path, via):
    endpoint = urlsplit(node["base_url"])
    # The one DNS record that an operator makes.
    resolve = f"{endpoint.hostname}:{endpoint.port}:127.0.0.1"
    (tmp_path / ".curlrc").write_text(f'resolve = "{resolve}"\nsilent\nnoproxy = "*"\n')
    monkeypatch.setenv("CURL_HOME", str(tmp_path))
    command = ["sh", "-c", setup("curl", via, "shell")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert "word1" in json.dumps(answer), answer
