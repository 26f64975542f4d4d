import type { Peer } from "@/api/types";

interface Source {
  label: string;
  editable: boolean;
  why: string;
}

const SOURCES: Record<string, Source> = {
  static: { label: "This node", editable: true, why: "Kept by this node; change it here." },
  wireguard: {
    label: "WireGuard",
    editable: true,
    why: "Kept by this node; its addresses are those of its key on the WireGuard device.",
  },
  netbird: {
    label: "NetBird",
    editable: false,
    why: "Read from NetBird. Groups, owner and approval are changed there; this node follows within seconds.",
  },
};

export function sourceOf({ source }: Peer): Source {
  return (
    SOURCES[source] ?? {
      label: source,
      editable: false,
      why: "Kept elsewhere, and read from there.",
    }
  );
}

/** Whom policies and the log know it as. */
export function principalOf(peer: Peer): string {
  return peer.user_id ?? peer.id;
}

export function identityOf(peer: Peer): string {
  return peer.user_email ?? peer.user_id ?? "Machine without a user";
}
