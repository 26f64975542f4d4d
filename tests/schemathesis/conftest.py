"""A node with something of everything in it, whose management API takes a token."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

STARTS_WITHIN_SECONDS = 60
# Nothing listens there: a provider that can be asked for, and never answers.
NOWHERE = "http://127.0.0.1:9"


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def configuration(directory, tls, plain, admin, telemetry):
    return f"""
[endpoint]
domain = "keyway.test"
port = {tls}
plain_port = {plain}
[overlay]
interface = "lo"
addresses = ["127.0.0.1"]
[admission]
mode = "off"
pins = ""
[admin]
listen = "127.0.0.1:{admin}"
socket = "{directory}/admin.sock"
[telemetry]
listen = "127.0.0.1:{telemetry}"
[store]
path = "{directory}/store"
[usage]
path = "{directory}/usage"
[secrets]
master_key_file = "{directory}/master.key"
[workers]
count = 1
pin = false
"""


class Node:
    def __init__(self, directory):
        self.directory = Path(directory)
        tls, self.plain, admin, telemetry = free_ports(4)
        self.base_url = f"http://127.0.0.1:{admin}"
        file = self.directory / "keyway.toml"
        file.write_text(configuration(directory, tls, self.plain, admin, telemetry))
        self.log = open(self.directory / "node.log", "w")
        command = [os.environ["KEYWAY_BIN"], "serve", "--config", str(file)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        try:
            self.until(lambda: self.keyway("status"))
            token = self.keyway("token", "create", "schemathesis")["token"]
            self.headers = {"Authorization": f"Bearer {token}"}
            self.seed()
        except BaseException:
            self.stop()
            raise

    def until(self, works):
        deadline = time.monotonic() + STARTS_WITHIN_SECONDS
        while True:
            try:
                return works()
            except (AssertionError, OSError):
                running = self.process.poll() is None
                if not running or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def keyway(self, *arguments, stdin=""):
        socket_path = str(self.directory / "admin.sock")
        command = [os.environ["KEYWAY_BIN"], "--socket", socket_path, "--output", "json", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def call(self, path, body):
        request = urllib.request.Request(
            f"{self.base_url}/api/agent-network{path}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **self.headers},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def seed(self):
        provider = self.call(
            "/providers",
            {
                "provider_id": "vllm",
                "name": "Nowhere",
                "upstream_url": NOWHERE,
                "api_key": "sk-schemathesis",
                "models": [{"id": "some-model", "input_per_1k": 0.1, "output_per_1k": 0.2}],
            },
        )
        self.call("/peers", {"name": "here", "addresses": ["127.0.0.1"], "groups": ["agents"]})
        guardrail = self.call("/guardrails", {"name": "g", "checks": {}})
        limits = {
            "token_limit": {"enabled": True, "group_cap": 0, "user_cap": 1_000_000, "window_seconds": 3600},
            "rate_limit": {"enabled": True, "user_requests_per_minute": 10},
        }
        self.call(
            "/policies",
            {
                "name": "p",
                "source_groups": ["agents"],
                "destination_provider_ids": [provider["id"]],
                "guardrail_ids": [guardrail["id"]],
                "limits": limits,
            },
        )
        self.call("/budget-rules", {"name": "b", "limits": limits})
        self.until(lambda: self.ask())
        self.until(lambda: self.logged())

    def ask(self):
        """One exchange for the log: the provider cannot be reached."""
        body = {"model": "some-model", "messages": [{"role": "user", "content": "hello"}]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.plain}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            urllib.request.urlopen(request).close()
        except urllib.error.HTTPError as answered:
            assert answered.code in (502, 503), answered.read()

    def logged(self):
        assert self.keyway("logs"), "nothing in the log yet"

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        finally:
            self.log.close()


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    running = Node(tmp_path_factory.mktemp("node"))
    yield running
    alive = running.process.poll() is None
    running.stop()
    log = (running.directory / "node.log").read_text()
    assert alive and "panicked" not in log, log[-4000:]
