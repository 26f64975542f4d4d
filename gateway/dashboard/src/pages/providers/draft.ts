/** What is typed into the dialog, and the request that it becomes. */

import type {
  CatalogEntry,
  DiscoverRequest,
  Model,
  Provider,
  ProviderRateLimit,
  ProviderRequest,
} from "@/api/types";

export interface Draft {
  /** Of the stored provider; none while it is being connected. */
  id?: string;
  url: string;
  key: string;
  extra: Record<string, string>;
  name: string;
  skipTls: boolean;
  allowPrivate: boolean;
  caPem: string;
  rateLimit: ProviderRateLimit;
  /** Every model, whatever it is called. */
  anyModel: boolean;
  models: Model[];
  tellsIdentity: boolean;
  userName: string;
  groupsName: string;
}

/** `<parts>` of a URL that only the operator knows. */
export const PART = /<[a-z0-9_-]+>/i;

export function newDraft(entry: CatalogEntry, taken: readonly string[]): Draft {
  const host = entry.default_host;
  return {
    url: host && !host.includes("://") ? `https://${host}` : host,
    key: "",
    extra: {},
    name: freeName(entry.name, taken),
    skipTls: false,
    allowPrivate: entry.kind === "custom",
    caPem: "",
    rateLimit: { enabled: false, requests_per_minute: 0, tokens_per_minute: 0, concurrency: 0 },
    anyModel: true,
    models: [],
    tellsIdentity: true,
    ...identityNames(entry),
  };
}

export function draftOf(provider: Provider, entry: CatalogEntry): Draft {
  const usual = identityNames(entry);
  return {
    id: provider.id,
    url: provider.upstream_url,
    key: "",
    extra: provider.extra_values ?? {},
    name: provider.name,
    skipTls: provider.skip_tls_verification,
    allowPrivate: provider.allow_private_addresses,
    caPem: provider.ca_pem ?? "",
    rateLimit: provider.rate_limit,
    anyModel: provider.models.length === 0,
    models: provider.models.map(stored),
    tellsIdentity: !provider.metadata_disabled,
    userName: provider.identity_header_user_id || usual.userName,
    groupsName: provider.identity_header_groups || usual.groupsName,
  };
}

export function requestOf(draft: Draft, entry: CatalogEntry): ProviderRequest {
  const usual = identityNames(entry);
  const key = draft.key.trim();
  return {
    ...(draft.id ? { id: draft.id } : {}),
    provider_id: entry.id,
    name: draft.name.trim(),
    upstream_url: draft.url.trim(),
    ...(key ? { api_key: key } : {}),
    models: draft.anyModel ? [] : draft.models,
    extra_values: filled(draft.extra),
    skip_tls_verification: draft.skipTls,
    allow_private_addresses: draft.allowPrivate,
    ca_pem: draft.caPem.trim() ? draft.caPem : "",
    rate_limit: draft.rateLimit,
    metadata_disabled: !draft.tellsIdentity,
    // The catalog's own name is not an operator's choice: it may change with the catalog.
    identity_header_user_id: draft.userName === usual.userName ? "" : draft.userName.trim(),
    identity_header_groups: draft.groupsName === usual.groupsName ? "" : draft.groupsName.trim(),
  };
}

export function discovery(draft: Draft, entry: CatalogEntry): DiscoverRequest {
  const key = draft.key.trim();
  return {
    catalog_provider_id: entry.id,
    upstream_url: draft.url.trim(),
    ...(key ? { api_key: key } : {}),
    ...(draft.id ? { provider_id: draft.id } : {}),
    extra_values: filled(draft.extra),
    skip_tls_verification: draft.skipTls,
    allow_private_addresses: draft.allowPrivate,
    ca_pem: draft.caPem.trim() ? draft.caPem : "",
  };
}

/** For changes of one field: the document as it is stored. */
export function requestFrom(provider: Provider): ProviderRequest {
  const { created_at: _created, updated_at: _updated, ca_pem: _ca, models, ...rest } = provider;
  return { ...rest, models: models.map(stored) };
}

export interface Problems {
  url?: string;
  key?: string;
  name?: string;
  models?: string;
}

/** What keeps the draft from being sent; the node looks closer. */
export function problems(draft: Draft, entry: CatalogEntry): Problems {
  const found: Problems = {};
  const part = PART.exec(draft.url);
  if (part) found.url = `Fill in ${part[0]}`;
  else if (!/^https?:\/\/[^/]/.test(draft.url.trim())) {
    found.url = "An address that begins with https:// or http://";
  }
  if (!draft.id && entry.kind !== "custom" && draft.key.trim() === "") {
    found.key = "The node has to have a key to add to requests";
  }
  if (draft.name.trim() === "") found.name = "A name to tell it from others";
  if (!draft.anyModel && draft.models.length === 0) {
    found.models = "Add a model, or let every model through";
  }
  return found;
}

/** Under which names the entry is told who calls, if nobody says otherwise. */
export function identityNames(entry: CatalogEntry): { userName: string; groupsName: string } {
  const { header_pair: pair, json_metadata: json } = entry.identity_injection ?? {};
  return {
    userName: pair?.end_user_id_header ?? json?.user_key ?? "",
    groupsName: pair?.tags_header ?? json?.groups_key ?? "",
  };
}

/** Zeros that stand for no price are none. */
function stored({ unpriced, input_per_1k, output_per_1k, ...model }: Provider["models"][number]) {
  return unpriced ? model : { ...model, input_per_1k, output_per_1k };
}

function filled(values: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value.trim() !== ""));
}

function freeName(name: string, taken: readonly string[]): string {
  if (!taken.includes(name)) return name;
  let number = 2;
  while (taken.includes(`${name} ${number}`)) number += 1;
  return `${name} ${number}`;
}
