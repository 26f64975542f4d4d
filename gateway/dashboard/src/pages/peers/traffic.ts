/** The kernel's counters of a peer: all its addresses together. */

import type { PeerTraffic } from "@/api/node";
import type { Id, Peer, Time } from "@/api/types";

export interface Seen {
  bytesIn: number;
  bytesOut: number;
  packetsIn: number;
  packetsOut: number;
  connections: number;
  resets: number;
  firstSeen: Time | undefined;
  lastSeen: Time | undefined;
}

export type SeenBy = ReadonlyMap<Id, Seen>;

export function byPeer(addresses: readonly PeerTraffic[]): SeenBy {
  const peers = new Map<Id, Seen>();
  for (const { peer_id, ingress, egress } of addresses) {
    const before = peers.get(peer_id);
    peers.set(peer_id, {
      bytesIn: (before?.bytesIn ?? 0) + ingress.bytes,
      bytesOut: (before?.bytesOut ?? 0) + egress.bytes,
      packetsIn: (before?.packetsIn ?? 0) + ingress.packets,
      packetsOut: (before?.packetsOut ?? 0) + egress.packets,
      connections: (before?.connections ?? 0) + ingress.connections,
      resets: (before?.resets ?? 0) + ingress.resets + egress.resets,
      firstSeen: extreme(before?.firstSeen, ingress.first_seen, (a, b) => a < b),
      lastSeen: extreme(before?.lastSeen, ingress.last_seen, (a, b) => a > b),
    });
  }
  return peers;
}

function extreme(
  a: Time | undefined,
  b: Time | undefined,
  wins: (a: number, b: number) => boolean,
): Time | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return wins(Date.parse(a), Date.parse(b)) ? a : b;
}

export interface GroupRow {
  id: Id;
  name: string;
  peers: number;
  letIn: number;
}

/** Groups with how many peers are in them; also those that no peer is in. */
export function groupRows(
  groups: readonly { id: Id; name: string }[],
  peers: readonly Peer[],
): GroupRow[] {
  const rows = new Map(groups.map(({ id, name }) => [id, { id, name, peers: 0, letIn: 0 }]));
  for (const peer of peers) {
    for (const id of peer.groups) {
      const row = rows.get(id) ?? { id, name: id, peers: 0, letIn: 0 };
      rows.set(id, {
        ...row,
        peers: row.peers + 1,
        letIn: row.letIn + (peer.let_in ? 1 : 0),
      });
    }
  }
  return [...rows.values()];
}
