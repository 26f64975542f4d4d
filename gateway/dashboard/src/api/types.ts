/** What the management API takes and gives, as far as the pages use it. */

export type Id = string;
/** RFC 3339. */
export type Time = string;

export interface Named {
  id: Id;
  name: string;
}

export interface Session {
  actor: string;
  role: "owner" | "admin" | "auditor" | "metrics";
  via: string;
  expires_at?: Time;
}

export interface CatalogModel {
  id: string;
  label: string;
  input_per_1k: number;
  output_per_1k: number;
  cached_input_per_1k?: number;
  cache_read_per_1k?: number;
  cache_creation_per_1k?: number;
  context_window: number;
}

export type Surface = "openai" | "anthropic" | "bedrock" | "google";
export type Kind = "provider" | "gateway" | "custom";
export type KeyKind = "text" | "aws" | "google_service_account";

export interface IdentityInjection {
  header_pair?: { customizable: boolean; end_user_id_header: string; tags_header: string };
  json_metadata?: { customizable: boolean; header: string; user_key: string; groups_key: string };
  body?: { user: boolean; tags: boolean };
}

export interface CatalogEntry {
  id: string;
  name: string;
  description: string;
  /** May hold `<parts>` that the operator fills in; empty when only the operator knows it. */
  default_host: string;
  kind: Kind;
  auth_header_template: string;
  brand_color: string;
  models: CatalogModel[];
  pricing_surfaces?: Surface[];
  extra_headers?: { name: string }[];
  identity_injection?: IdentityInjection;
  dialects: string[];
  /** Why its models cannot be imported. */
  unlisted?: string;
  key_help?: string;
  url_help?: string;
  access_help?: string;
  key_kind?: KeyKind;
}

export interface Model {
  id: string;
  base_model?: string;
  input_per_1k?: number;
  output_per_1k?: number;
  cached_input_per_1k?: number;
  cache_read_per_1k?: number;
  cache_creation_per_1k?: number;
  context?: number;
  unpriced?: boolean;
}

export interface ProviderRateLimit {
  enabled: boolean;
  requests_per_minute: number;
  tokens_per_minute: number;
  concurrency: number;
}

export interface Provider {
  id: Id;
  /** Catalog id. */
  provider_id: string;
  name: string;
  upstream_url: string;
  models: Model[];
  extra_values?: Record<string, string>;
  identity_header_user_id: string;
  identity_header_groups: string;
  enabled: boolean;
  skip_tls_verification: boolean;
  metadata_disabled: boolean;
  allow_private_addresses: boolean;
  ca_pem?: string;
  rate_limit: ProviderRateLimit;
  created_at: Time;
  updated_at: Time;
}

/** `api_key` goes in and never comes out; left out it keeps the stored one. */
export type ProviderRequest = Partial<Omit<Provider, "created_at" | "updated_at">> & {
  api_key?: string;
};

export interface ProviderKey {
  id: Id;
  fingerprint: string;
  created_at: Time;
}

export interface TestReport {
  ok: boolean;
  status?: number;
  duration_ms: number;
  message: string;
  problem?: string;
  remedy?: string;
}

export interface DiscoveredModel {
  id: string;
  label?: string;
  base_model?: string;
  pricing_known: boolean;
  pricing_source?: "catalog" | "vendor";
  input_per_1k: number;
  output_per_1k: number;
  cache_read_per_1k?: number;
  cache_creation_per_1k?: number;
}

export interface Settings {
  endpoint: string;
  base_url: string;
  proxy_address: string;
  dedicated: boolean;
  enable_log_collection: boolean;
  enable_prompt_collection: boolean;
  redact_pii: boolean;
  access_log_retention_days: number;
  prompt_retention_days: number;
  created_at?: Time;
  updated_at?: Time;
}

export interface NodeStatus {
  version: string;
  ready: boolean;
  not_ready: string[];
  revision: number;
  started_at: Time;
  driver: string;
  workers: number;
  listeners: string[];
  providers: ProviderStatus[];
}

export interface ProviderStatus {
  id: Id;
  ready: boolean;
  addresses: string[];
  problem?: string;
}

export type LimitMode = "soft" | "hard";

export interface Limits {
  token_limit: { enabled: boolean; group_cap: number; user_cap: number; window_seconds: number };
  budget_limit: {
    enabled: boolean;
    group_cap_usd: number;
    user_cap_usd: number;
    window_seconds: number;
  };
  rate_limit: {
    enabled: boolean;
    group_requests_per_minute: number;
    user_requests_per_minute: number;
    group_tokens_per_minute: number;
    user_tokens_per_minute: number;
    group_concurrency: number;
    user_concurrency: number;
  };
  mode: LimitMode;
}

export interface Policy {
  id: Id;
  name: string;
  description: string;
  enabled: boolean;
  source_groups: Id[];
  destination_provider_ids: Id[];
  guardrail_ids: Id[];
  limits: Limits;
  allowed_paths: string[];
  created_at: Time;
  updated_at: Time;
}

export interface Guardrail {
  id: Id;
  name: string;
  description: string;
  checks: {
    model_allowlist: { enabled: boolean; models: string[] };
    prompt_capture: { enabled: boolean; redact_pii: boolean; max_bytes: number };
    output_limit: { enabled: boolean; max_tokens: number };
  };
  created_at: Time;
  updated_at: Time;
}

export interface BudgetRule {
  id: Id;
  name: string;
  enabled: boolean;
  target_groups: Id[];
  target_users: Id[];
  limits: Limits;
  created_at: Time;
  updated_at: Time;
}

export type LimitUnit = "tokens" | "usd" | "requests" | "in_flight";

/** How full one bucket is, and which limits look at it. */
export interface Level {
  counts_for: { kind: "user" | "group" | "provider" | "rule"; id: Id; name: string };
  unit: LimitUnit;
  /** 0 for what is in flight. */
  window_seconds: number;
  window_start_utc: Time | null;
  resets_at: Time | null;
  spent?: number;
  spent_usd?: number;
  used_percent: number;
  caps: LevelCap[];
}

export interface LevelCap {
  kind: string;
  id: Id;
  name: string;
  mode: LimitMode;
  cap?: number;
  cap_usd?: number;
  left?: number;
  left_usd?: number;
}

export interface Levels {
  limits: Level[];
  left_out: number;
}

export interface Peer {
  id: Id;
  name: string;
  addresses: string[];
  public_key?: string;
  user_id: string | null;
  user_email: string | null;
  groups: Id[];
  blocked: boolean;
  created_at?: Time;
  updated_at?: Time;
  source: "static" | "netbird" | "wireguard";
  read_at?: Time;
  let_in: boolean;
  denial?: string;
  reason?: string;
}

export interface ExplainRequest {
  peer: string;
  model?: string;
  path?: string;
  body_bytes?: number;
  max_tokens?: number;
  fills_window?: boolean;
}

export interface Denial {
  code: string;
  status: number;
}

export interface Charged {
  set_by: "account" | "provider" | "policy";
  rule: string | null;
  unit: LimitUnit;
  window_seconds: number;
  hard: boolean;
  cap: number;
  spent: number;
  left: number;
  takes: number | null;
  has_room: boolean;
  denial: Denial | null;
}

export interface Explanation {
  peer: Named;
  user: Named;
  groups: Named[];
  path: string;
  dialect: string;
  operation: string;
  model: string | null;
  body_bytes: number;
  max_tokens: number | null;
  allowed: boolean;
  denial: Denial | null;
  provider: Named | null;
  policy: Named | null;
  group: Named | null;
  provider_problem: Denial | null;
  providers: { id: Id; name: string; state: ProviderState; why: string }[];
  policies: {
    id: Id;
    name: string;
    state: PolicyState;
    why: string;
    group: Named | null;
    limits: Charged[];
  }[];
  policies_left_out: number;
}

export type ProviderState =
  | "asked"
  | "fits"
  | "disabled"
  | "left_out"
  | "without_model"
  | "other_dialect"
  | "unreachable"
  | "other_object";

export type PolicyState =
  | "pays"
  | "no_room"
  | "next"
  | "model_blocked"
  | "path_blocked"
  | "other_provider"
  | "other_groups"
  | "disabled"
  | "left_out";

/** One piece of a set-up: an environment, a file or code. */
export interface AgentConfigBlock {
  /** A file's path, or what the text is for. */
  title: string;
  note: string;
  text: string;
}

export interface AgentConfig {
  via: string;
  name: string;
  model: string;
  blocks: AgentConfigBlock[];
}

export interface AgentConfigs {
  /** Where agents are to have the endpoint's CA; none when its certificate is one that they trust. */
  ca_file: string | null;
  tools: { tool: string; name: string; configs: AgentConfig[] }[];
}
