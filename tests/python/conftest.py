"""A node with strict stand-ins behind it, and the SDKs set up as `keyway agent-config` says."""

import json
import os
import socket
import subprocess
import time

import pytest

REAL_GETADDRINFO = socket.getaddrinfo


@pytest.fixture(scope="session")
def node():
    """A running node: its base URL, CA file and admin socket."""
    process = subprocess.Popen(
        [os.environ["KEYWAY_SDK_NODE"]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        facts = json.loads(process.stdout.readline())

        def resolve(host, *arguments, **named):
            # The one DNS record that an operator makes.
            if host in (facts["host"], facts["host"].encode()):
                host = "127.0.0.1"
            return REAL_GETADDRINFO(host, *arguments, **named)

        socket.getaddrinfo = resolve
        os.environ["SSL_CERT_FILE"] = facts["ca_file"]
        yield facts
    finally:
        socket.getaddrinfo = REAL_GETADDRINFO
        process.stdin.close()
        ended = process.wait(timeout=60)
    assert ended == 0, "the node did not stop cleanly, or a provider saw something it must not"


@pytest.fixture(scope="session")
def keyway(node):
    """Runs the operator's command line and returns what it printed."""

    def run(*arguments, stdin=""):
        command = [os.environ["KEYWAY_BIN"], "--socket", node["socket"], *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def newest_record(keyway):
    """Waits for an access log entry that fits."""

    def wait(fits):
        deadline = time.monotonic() + 20
        while True:
            rows = json.loads(keyway("logs", "--output", "json"))
            rows = rows["data"] if isinstance(rows, dict) else rows
            found = next((row for row in rows if fits(row)), None)
            if found:
                return found
            assert time.monotonic() < deadline, rows[:3]
            time.sleep(0.05)

    return wait
