/** A peer as its form has it. */

import type { Id, Peer } from "@/api/types";

/** The API's `PeerRequest`: a change sends the whole. */
export interface PeerRequest {
  name: string;
  addresses: string[];
  public_key: string | null;
  user_id: string | null;
  user_email: string | null;
  groups: Id[];
  blocked: boolean;
}

export interface Draft {
  name: string;
  /** What it is known by. */
  by: "addresses" | "key";
  addresses: string[];
  publicKey: string;
  userId: string;
  email: string;
  groups: Id[];
  blocked: boolean;
}

export const EMPTY: Draft = {
  name: "",
  by: "addresses",
  addresses: [],
  publicKey: "",
  userId: "",
  email: "",
  groups: [],
  blocked: false,
};

export function draftOf(peer: Peer): Draft {
  return {
    name: peer.name,
    by: peer.public_key ? "key" : "addresses",
    addresses: peer.addresses,
    publicKey: peer.public_key ?? "",
    userId: peer.user_id ?? "",
    email: peer.user_email ?? "",
    groups: peer.groups,
    blocked: peer.blocked,
  };
}

export function requestFrom(draft: Draft): PeerRequest {
  const byKey = draft.by === "key";
  return {
    name: draft.name.trim(),
    addresses: byKey ? [] : draft.addresses,
    public_key: byKey ? draft.publicKey.trim() : null,
    user_id: draft.userId.trim() || null,
    user_email: draft.email.trim() || null,
    groups: draft.groups,
    blocked: draft.blocked,
  };
}
