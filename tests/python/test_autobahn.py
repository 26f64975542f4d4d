"""The Autobahn test suite against the node's reading of WebSockets, as a server and as a client."""

import asyncio
import os
import subprocess
from collections import Counter

import kosoku
import pytest

# Compression is not offered and not accepted; speed is for benches.
EXCLUDED = ["9.*", "12.*", "13.*"]
# A case whose connection never came is waited for without end.
SECONDS_MAX = 120


@pytest.fixture
def echo():
    """Starts the echo of gateway/examples."""
    running = []

    def start(*arguments):
        command = [os.environ["KEYWAY_WEBSOCKET_ECHO"], *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


def check(results):
    verdicts = Counter(str(result.behavior.value) for result in results)
    assert verdicts["OK"] >= 240, verdicts
    # Text that is no UTF-8 is refused with its message's end, not before.
    late = [result.case_id for result in results if result.behavior.value == "NON-STRICT"]
    assert late == ["6.4.1", "6.4.2", "6.4.3", "6.4.4"]


async def test_as_a_server(echo):
    port = int(echo("server").stdout.readline())
    url = f"ws://127.0.0.1:{port}"
    results = kosoku.run_fuzzingclient(url, exclude_cases=EXCLUDED, concurrency=4)
    check(await asyncio.wait_for(results, SECONDS_MAX))


async def test_as_a_client(echo):
    async with kosoku.run_fuzzingserver(
        exclude_cases=EXCLUDED, host="127.0.0.1", port=0
    ) as server:
        echo("client", f"127.0.0.1:{server.port}")
        check(await asyncio.wait_for(server.get_result(), SECONDS_MAX))
