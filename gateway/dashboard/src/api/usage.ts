/** What was used and what it cost: shapes of `/usage/…` and of the access log, and how pages read them. */

import { keepPreviousData, useQueries, useQuery } from "@tanstack/react-query";
import { get, type ApiError, type Query } from "./http";
import type { Id, Time } from "./types";

/** `input_tokens` includes the cached ones; the five parts of the cost add up to `cost_usd`. */
export interface Amounts {
  input_tokens: number;
  output_tokens: number;
  total_tokens: number;
  cached_input_tokens: number;
  cache_creation_tokens: number;
  input_cost_usd: number;
  cached_input_cost_usd: number;
  cache_creation_cost_usd: number;
  output_cost_usd: number;
  other_cost_usd: number;
  cost_usd: number;
  cache_cost_usd: number;
}

export interface Sums extends Amounts {
  request_count: number;
  denied_count: number;
  failed_count: number;
  unpriced_count: number;
}

export interface UsageBucket extends Sums {
  /** `YYYY-MM-DD`, UTC. */
  period_start: string;
}

export interface UsageTotal extends Sums {
  /** Empty: exchanges that reached no provider, or used nothing. */
  key: string;
  display_name: string;
}

export type Dimension = "provider" | "model" | "user" | "group";
export type Granularity = "day" | "week" | "month";

export type Outcome =
  "answered" | "denied" | "client_error" | "cancelled" | "provider_error" | "cut" | "gateway_error";

export interface Timeline {
  received_ms: number | null;
  reserved_ms: number | null;
  sent_ms: number | null;
  first_byte_ms: number | null;
  first_token_ms: number | null;
  end_ms: number;
}

export interface Attempt {
  target_id: number;
  /** 0 when a pooled connection was used. */
  connect_us: number;
  /** 0 when no answer came. */
  status_code: number;
}

export interface BeyondText {
  media: Record<string, number>;
  tool_calls: Record<string, number>;
}

export interface AccessLogEntry extends Amounts {
  id: Id;
  timestamp: Time;
  status_code: number;
  duration_ms: number;
  user_id: string;
  source_ip: string;
  method: string;
  host: string;
  path: string;
  provider: string;
  model: string;
  session_id: string;
  resolved_provider_id: Id;
  selected_policy_id: Id;
  decision: "allow" | "deny";
  deny_reason: string;
  stream: boolean;
  group_ids: Id[];
  sequence?: number;
  display_name: string;
  peer_id: Id;
  catalog_id: string;
  dialect: string;
  operation: string;
  outcome: Outcome;
  reason: string;
  response_flags: string[];
  /** 10, 11 or 20. */
  http_version: number;
  time_to_first_token_ms: number | null;
  output_tokens_per_second: number | null;
  upstream_connect_ms: number | null;
  overhead_us: number;
  timeline: Timeline;
  reasoning_tokens: number;
  unpriced: boolean;
  left_out: string[];
  cost_source: string;
  service_tier: string;
  regional: boolean;
  beyond_text: BeyondText | null;
  request_bytes: number;
  response_bytes: number;
  attempts: Attempt[];
  agent_id: string;
  parent_agent_id: string;
  capture: "off" | "kept" | "skipped";
  /** Empty where requests are not traced. */
  trace_id?: string;
  /** What the answer calls the model, where that is another name. */
  response_model?: string;
}

export interface Exchange extends AccessLogEntry {
  request_prompt?: string;
  response_completion?: string;
}

export interface AccessLogSession extends Amounts {
  session_id: string;
  user_id: string;
  group_ids: Id[];
  started_at: Time;
  ended_at: Time;
  request_count: number;
  providers: string[];
  models: string[];
  decision: "allow" | "deny";
  /** The latest 200, oldest first. */
  entries: AccessLogEntry[];
}

/** The envelope of lists that the node cuts into pages. */
export interface Page<T> {
  data: T[];
  page: number;
  page_size: number;
  total_records: number;
  total_pages: number;
  /** There are more than `total_records`. */
  total_is_capped?: boolean;
  /** What began before was not looked at. */
  searched_back_to?: Time | null;
}

/** Sums are a minute old at most when they are looked at again. */
const SUMS_MS = 30_000;

export const useOverview = (query: Query, granularity: Granularity) =>
  useQuery<UsageBucket[], ApiError>({
    queryKey: ["usage", "overview", granularity, query],
    queryFn: ({ signal }) => get("/usage/overview", { query: { ...query, granularity }, signal }),
    placeholderData: keepPreviousData,
    staleTime: SUMS_MS,
  });

/** One overview per query, for charts that keep some of the sums apart. */
export const useOverviews = (queries: readonly Query[], granularity: Granularity) =>
  useQueries({
    queries: queries.map((query) => ({
      queryKey: ["usage", "overview", granularity, query],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        get<UsageBucket[]>("/usage/overview", { query: { ...query, granularity }, signal }),
      staleTime: SUMS_MS,
    })),
  });

export const useBreakdown = (by: Dimension, query: Query) =>
  useQuery<UsageTotal[], ApiError>({
    queryKey: ["usage", "breakdown", by, query],
    queryFn: ({ signal }) => get("/usage/breakdown", { query: { ...query, by }, signal }),
    placeholderData: keepPreviousData,
    staleTime: SUMS_MS,
  });

export const useAccessLog = (query: Query, enabled = true) =>
  useQuery<Page<AccessLogEntry>, ApiError>({
    queryKey: ["access-logs", query],
    queryFn: ({ signal }) => get("/access-logs", { query, signal }),
    placeholderData: keepPreviousData,
    enabled,
  });

export const useSessions = (query: Query) =>
  useQuery<Page<AccessLogSession>, ApiError>({
    queryKey: ["access-log-sessions", query],
    queryFn: ({ signal }) => get("/access-log-sessions", { query, signal }),
    placeholderData: keepPreviousData,
  });

/** With its captured texts, where there are some; these are not kept once nobody looks at them. */
export const useExchange = (id: Id) =>
  useQuery<Exchange, ApiError>({
    queryKey: ["access-logs", "one", id],
    queryFn: ({ signal }) => get(`/access-logs/${encodeURIComponent(id)}`, { signal }),
    gcTime: 0,
    staleTime: Infinity,
  });
