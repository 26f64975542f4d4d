/** How the node does and who may change it: admission, tokens, prices and the audit log. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { get, type ApiError, type Query } from "./http";
import { LIVE_MS, useResource } from "./queries";
import type { Id, Session, Time } from "./types";
import type { Page } from "./usage";

export interface FlowCount {
  packets: number;
  bytes: number;
  connections: number;
  resets: number;
  first_seen?: Time;
  last_seen?: Time;
}

export interface Traffic {
  /** From the peer to the endpoint. */
  ingress: FlowCount;
  egress: FlowCount;
}

export interface PeerTraffic extends Traffic {
  address: string;
  peer_id: Id;
  name: string;
  /** Names. */
  groups: string[];
}

export interface ReasonCount {
  reason: string;
  verdict: "pass" | "drop";
  packets: number;
  bytes: number;
}

export interface InterfaceStatus {
  name: string;
  /** 0 for all that are gone. */
  index: number;
  role: "overlay" | "outer" | "gone";
  mode: "native" | "generic" | "tc" | "excluded" | "none";
  problem?: string;
  counters: ReasonCount[];
}

export interface AdmissionStatus {
  mode: "required" | "preferred" | "off";
  in_front: boolean;
  problem?: string;
  peers: number;
  peers_left_out: number;
  departed: Traffic;
  interfaces: InterfaceStatus[];
}

export interface AdmissionSample {
  at: Time;
  /** By reason, since the sample before. */
  packets: Record<string, number>;
}

export interface AdmissionHistory {
  interval_seconds: number;
  samples: AdmissionSample[];
}

/** Of tokens; a peer of the overlay that is no admin has none. */
export type Role = NonNullable<Session["role"]>;

export interface Token {
  id: Id;
  name: string;
  role: Role;
  created_at: Time;
  expires_at?: Time;
}

export interface TokenRequest {
  name: string;
  role: Role;
  expires_in_days?: number;
}

export type CreatedToken = Token & { token: string };

export interface Prices {
  /** Models with a price, by catalog entry. */
  models: Record<string, number>;
  update: { source: string; updated_at: Time } | null;
}

export interface RotateMasterReport {
  key_id: string;
  resealed: number;
  advice: string | null;
}

export interface AuditEntry {
  id: number;
  time: Time;
  /** `agent_network.<kind>.<create|update|delete>` */
  event: string;
  actor: {
    id: string;
    name: string | null;
    role: Role | null;
    via: "socket" | "token" | "cookie" | "tunnel";
    address: string | null;
  };
  target: { kind: string; id: Id; name: string };
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
  /** Hash of the entry before. */
  previous: string;
}

export interface AuditVerification {
  intact: boolean;
  problem?: string;
  entries: number;
  first: number;
  last: number;
  hash: string;
}

const polled = <T>(key: string, path: string, everyMs: number) => ({
  queryKey: ["admission", key],
  queryFn: ({ signal }: { signal: AbortSignal }) => get<T>(path, { signal }),
  refetchInterval: everyMs,
});

export const useAdmission = () =>
  useQuery<AdmissionStatus, ApiError>(polled("status", "/admission", LIVE_MS));

/** A sample comes every ten seconds. */
export const useAdmissionHistory = () =>
  useQuery<AdmissionHistory, ApiError>(polled("history", "/admission/history", 10_000));

/** Of every peer, so not as often. */
export const useAdmissionPeers = () =>
  useQuery<PeerTraffic[], ApiError>(polled("peers", "/admission/peers", 15_000));

export const useTokens = () => useResource<Token[]>("tokens");

export const usePrices = () =>
  useQuery<Prices, ApiError>({
    queryKey: ["catalog/prices"],
    queryFn: ({ signal }) => get("/catalog/prices", { signal }),
  });

export const useAudit = (query: Query) =>
  useQuery<Page<AuditEntry>, ApiError>({
    queryKey: ["audit", query],
    queryFn: ({ signal }) => get("/audit", { query, signal }),
    placeholderData: keepPreviousData,
  });

export const useAuditEntry = (id: string) =>
  useQuery<AuditEntry, ApiError>({
    queryKey: ["audit", "one", id],
    queryFn: ({ signal }) => get(`/audit/${encodeURIComponent(id)}`, { signal }),
    // Entries never change.
    staleTime: Infinity,
  });
