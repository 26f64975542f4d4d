/** An audit event in words. */

import type { AuditEntry } from "@/api/node";
import type { Tone } from "@/components/Badge";

export const KINDS: Record<string, string> = {
  provider: "Provider",
  provider_key: "Provider’s key",
  policy: "Policy",
  guardrail: "Guardrail",
  budget_rule: "Budget rule",
  peer: "Peer",
  token: "Token",
  prices: "List prices",
  settings: "Settings",
};

export function kindName(kind: string): string {
  return KINDS[kind] ?? kind;
}

const ACTIONS: Record<string, { label: string; tone: Tone }> = {
  create: { label: "Created", tone: "ok" },
  update: { label: "Changed", tone: "accent" },
  delete: { label: "Removed", tone: "warn" },
};

export function actionOf({ event }: AuditEntry): { label: string; tone: Tone } {
  const code = event.slice(event.lastIndexOf(".") + 1);
  return ACTIONS[code] ?? { label: code, tone: "neutral" };
}

const VIAS: Record<AuditEntry["actor"]["via"], string> = {
  socket: "the node’s socket",
  token: "a token",
  cookie: "the dashboard",
  tunnel: "the overlay",
};

export function viaName(via: AuditEntry["actor"]["via"]): string {
  return VIAS[via] ?? via;
}

export function actorName({ actor }: AuditEntry): string {
  return actor.name ?? actor.id;
}

/** Where in the dashboard it is; nowhere once it is gone. */
export function targetPath({ target, after }: AuditEntry): string | null {
  if (after === null) return null;
  const id = encodeURIComponent(target.id);
  switch (target.kind) {
    case "provider":
      return `/providers/${id}`;
    case "policy":
      return `/policies/${id}`;
    case "guardrail":
      return `/guardrails/${id}`;
    case "budget_rule":
      return `/limits/${id}`;
    case "peer":
      return `/peers/${id}`;
    case "settings":
      return "/settings?tab=collection";
    default:
      return null;
  }
}
