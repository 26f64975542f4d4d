/** What the node's codes mean, for people. A code of a newer node is shown as it is. */

import type { AccessLogEntry, Outcome } from "@/api/usage";
import type { Tone } from "@/components/Badge";

export const OUTCOMES: Record<Outcome, { label: string; tone: Tone }> = {
  answered: { label: "Answered", tone: "ok" },
  denied: { label: "Denied", tone: "warn" },
  client_error: { label: "Unusable request", tone: "warn" },
  cancelled: { label: "Cancelled by agent", tone: "neutral" },
  provider_error: { label: "Provider failed", tone: "bad" },
  cut: { label: "Cut off", tone: "bad" },
  gateway_error: { label: "Node failed", tone: "bad" },
};

const REASONS: Record<string, string> = {
  malformed_request: "Not an HTTP request",
  authority_refused: "Addressed by a wrong host name",
  head_too_large: "Headers too large",
  body_too_large: "Body too large",
  request_timeout: "Request did not arrive in time",
  request_truncated: "Request stopped in the middle",
  expectation_failed: "Expect header not met",
  unsupported_encoding: "Encoding that cannot be read",
  malformed_json: "Body is not JSON",
  malformed_form: "Body is not a form",
  duplicate_key: "A deciding key given twice",
  model_missing: "No model named",
  unknown_path: "Unknown path",
  method_not_allowed: "Wrong method for this path",
  upgrade_required: "WebSocket only",
  origin_refused: "Web page of another origin",
  client_gone: "Agent went away",
  model_not_routable: "No provider serves the model",
  no_authorised_provider: "No policy reaches a provider of it",
  model_blocked: "Model not allowed",
  path_blocked: "Path not allowed",
  output_limit_exceeded: "More output than a guardrail allows",
  unboundable: "Use cannot be bounded under a hard limit",
  token_cap_exceeded: "Token limit used up",
  budget_cap_exceeded: "Budget used up",
  account_token_cap_exceeded: "Account’s token limit used up",
  account_budget_cap_exceeded: "Account’s budget used up",
  request_rate_exceeded: "Too many requests a minute",
  token_rate_exceeded: "Too many tokens a minute",
  concurrency_exceeded: "Too many at the same time",
  limit_passed: "Answer passed a hard limit",
  peer_revoked: "Peer removed meanwhile",
  dialect_unsupported: "Provider has no such request",
  overloaded: "Node overloaded",
  draining: "Node shutting down",
  usage_log_behind: "Usage log behind",
  ledger_behind: "Limits’ ledger behind",
  provider_unresolved: "Provider has no usable address",
  connect_failed: "Connection refused",
  connect_timeout: "Connecting took too long",
  tls_failed: "TLS handshake failed",
  first_byte_timeout: "No answer in time",
  idle_timeout: "Answer stalled",
  total_timeout: "Answer took too long",
  provider_protocol: "Answer not understood",
  upstream_auth_failed: "Provider refused the key",
  provider_cut: "Provider closed early",
  provider_error_event: "Provider ended its stream with an error",
};

export function reasonWords(reason: string): string {
  return REASONS[reason] ?? reason;
}

const FLAGS: Record<string, string> = {
  DC: "The agent closed first.",
  DPE: "The agent’s request cannot be used.",
  DT: "The agent’s request did not arrive in time.",
  DR: "The node was shutting down.",
  NR: "Nothing serves this path or model.",
  PD: "Denied by policy.",
  RL: "Denied by a limit, a rate or a budget.",
  OM: "The node is at a limit of its own: load, usage log or ledger.",
  DF: "The provider’s host has no usable address.",
  UF: "No connection to the provider: refused, timed out, or TLS.",
  UT: "The provider answered too late, or took too long.",
  SI: "The provider stopped in the middle of its answer.",
  UC: "The provider closed before its answer’s end.",
  UPE: "The provider’s answer was not understood.",
  UA: "The provider refused the node’s credential.",
  UE: "The provider ended its stream with an error event.",
  CUT: "The answer had begun and was broken off.",
  RT: "There was more than one attempt.",
};

export function flagWords(flag: string): string {
  return FLAGS[flag] ?? "Of a newer node than this page.";
}

const LEFT_OUT: Record<string, string> = {
  service_tier: "the service tier",
  tools: "the provider’s tools",
  audio: "audio",
  region: "the region",
};

export function leftOutWords(parts: readonly string[]): string {
  return parts.map((part) => LEFT_OUT[part] ?? part).join(", ");
}

const COST_SOURCES: Record<string, string> = {
  none: "No price: nothing was used, or none is known",
  catalog: "List price of the catalog",
  operator: "Price set at the provider",
  reported: "As the provider reported it",
};

export function costSourceWords(source: string): string {
  return COST_SOURCES[source] ?? source;
}

/** Why it did not simply go well; empty where it did. */
export function why(entry: AccessLogEntry): string {
  if (entry.reason) return reasonWords(entry.reason);
  if (entry.outcome === "answered" && entry.status_code >= 400) return "The provider’s own answer";
  return "";
}

export function statusTone(entry: AccessLogEntry): Tone {
  if (entry.outcome === "answered") return entry.status_code < 400 ? "ok" : "warn";
  return OUTCOMES[entry.outcome]?.tone ?? "neutral";
}

/** HTTP/2 and its like, from 10, 11 or 20. */
export function httpVersion(version: number): string {
  return version % 10 === 0 && version >= 20
    ? `HTTP/${version / 10}`
    : `HTTP/${Math.floor(version / 10)}.${version % 10}`;
}

const OTHERS: Record<string, string> = {
  audio_cache_read_tokens: "audio tokens from cache",
  audio_input_tokens: "audio tokens in",
  audio_ms: "ms of audio",
  audio_output_tokens: "audio tokens out",
  image_input_tokens: "image tokens in",
  image_output_tokens: "image tokens out",
  code_interpreter: "code interpreter calls",
  file_search: "file searches",
  maps: "maps calls",
  other: "other tool calls",
  web_search: "web searches",
};

/** "2 web searches", of media and tool calls that were counted. */
export function beyondTextWords(counts: Record<string, number>): string[] {
  return Object.entries(counts)
    .filter(([, many]) => many > 0)
    .map(([name, many]) => `${many} ${OTHERS[name] ?? name}`);
}
