"""What SDKs make of limits: the headers that tell what is left, and refusals."""

import contextlib
import json
import threading

import anthropic
import openai
import pytest

TOKENS = 1_000_000
ASKS = {
    "openai": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "one two three"}]},
    "anthropic": {
        "model": "claude-sonnet-4-6",
        "messages": [{"role": "user", "content": "one two three"}],
    },
}
VENDORS = list(ASKS)
# An answer that goes on until it is not listened to.
ENDLESS = [{"role": "user", "content": "[[events=100000 ms=20]]"}]


class Sdk:
    """One of the two, by the names that they share."""

    def __init__(self, vendor, base_url, retries):
        self.vendor = vendor
        self.module = {"openai": openai, "anthropic": anthropic}[vendor]
        if vendor == "openai":
            self.client = openai.OpenAI(
                base_url=f"{base_url}/v1", api_key="-", max_retries=retries
            )
            self.messages = self.client.chat.completions
        else:
            self.client = anthropic.Anthropic(
                base_url=base_url, api_key="-", max_retries=retries
            )
            self.messages = self.client.messages

    def ask(self, **more):
        return self.messages.with_raw_response.create(
            **{**ASKS[self.vendor], "max_tokens": 100, **more}
        )

    def left(self, headers, unit):
        """The cap, what is left of it, and when it begins anew."""
        parts = ["limit", "remaining", "reset"]
        if self.vendor == "openai":
            names = [f"x-ratelimit-{part}-{unit}" for part in parts]
        else:
            names = [f"anthropic-ratelimit-{unit}-{part}" for part in parts]
        cap, left, reset = (headers[name] for name in names)
        return int(cap), int(left), reset


@pytest.fixture
def sdk(node):
    with contextlib.ExitStack() as clients:

        def make(vendor, retries=0):
            sdk = Sdk(vendor, node["base_url"], retries)
            clients.enter_context(sdk.client)
            return sdk

        yield make


@pytest.fixture
def limits(keyway):
    """Sets limits on a vendor's policy; they go with the test."""
    changed = []

    def change(vendor, *arguments):
        changed.append((vendor, arguments[::2]))
        keyway("policies", "update", vendor, *arguments)

    yield change
    for vendor, flags in changed:
        lifted = [word for flag in flags for word in (flag, "none")]
        keyway("policies", "update", vendor, *lifted)


@pytest.fixture
def denials(keyway):
    """How many requests were denied for this reason."""

    def count(reason):
        rows = json.loads(keyway("logs", "--output", "json"))
        rows = rows["data"] if isinstance(rows, dict) else rows
        return sum(row["reason"] == reason for row in rows)

    return count


@pytest.mark.parametrize("vendor", VENDORS)
def test_headers_count_down(vendor, sdk, limits):
    limits(vendor, "--user-tokens", f"{TOKENS}/3650d", "--user-requests-per-minute", "1000")
    sdk = sdk(vendor)
    answer = sdk.ask()
    cap, before, reset = sdk.left(answer.headers, "tokens")
    # What it may use is set aside while it runs.
    assert (cap, before < TOKENS, bool(reset)) == (TOKENS, True, True)
    cap, left, _ = sdk.left(answer.headers, "requests")
    assert (cap, left < 1000) == (1000, True)
    usage = answer.parse().usage
    used = getattr(usage, "total_tokens", None) or usage.input_tokens + usage.output_tokens
    assert sdk.left(sdk.ask().headers, "tokens")[1] == before - used
    # The head of a stream tells the same.
    assert sdk.left(sdk.ask(stream=True).headers, "tokens")[0] == TOKENS


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_rate_is_raised_with_when_to_come_again(vendor, sdk, limits):
    limits(vendor, "--user-requests-per-minute", "1")
    sdk = sdk(vendor)
    with pytest.raises(sdk.module.RateLimitError) as raised:
        # A minute may end in between.
        for _ in range(5):
            sdk.ask()
    headers = raised.value.response.headers
    assert sdk.left(headers, "requests")[:2] == (1, 0)
    assert 1 <= int(headers["retry-after"]) <= 60
    assert 0 < int(headers["retry-after-ms"]) <= 60_000
    assert "llm_policy.request_rate_exceeded" in json.dumps(raised.value.body)


@pytest.mark.parametrize("vendor", VENDORS)
def test_what_is_used_up_for_long_is_not_tried_again(
    vendor, sdk, limits, denials, newest_record
):
    limits(vendor, "--user-tokens", "10/3650d")
    before = denials("token_cap_exceeded")
    sdk = sdk(vendor, retries=3)
    with pytest.raises(sdk.module.RateLimitError) as raised:
        sdk.ask()
    headers = raised.value.response.headers
    assert headers["x-should-retry"] == "false"
    request = headers["x-keyway-request-id"].removeprefix("req_")
    newest_record(lambda row: row["id"] == request)
    # Once, and not four times.
    assert denials("token_cap_exceeded") == before + 1


@pytest.mark.parametrize("vendor", VENDORS)
def test_what_has_room_soon_is_tried_again(vendor, sdk, limits, denials, newest_record):
    limits(vendor, "--user-concurrency", "1")
    reason = "concurrency_exceeded"
    before = denials(reason)
    answers = []
    first, second = sdk(vendor), sdk(vendor, retries=20)
    with contextlib.closing(first.ask(stream=True, messages=ENDLESS).parse()) as stream:
        next(iter(stream))
        asking = threading.Thread(target=lambda: answers.append(second.ask()))
        asking.start()
        # It was denied, and waits.
        newest_record(lambda _: denials(reason) > before)
    asking.join(timeout=60)
    assert answers[0].retries_taken >= 1
    assert answers[0].status_code == 200
