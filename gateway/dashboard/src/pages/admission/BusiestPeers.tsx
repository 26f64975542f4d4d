import { useMemo } from "react";
import { useAdmissionPeers, type PeerTraffic } from "@/api/node";
import { Card } from "@/components/Card";
import { DataTable, type Column } from "@/components/DataTable";
import { EmptyState } from "@/components/States";
import { bytes, count } from "@/format/number";
import { dateTime, relative } from "@/format/time";

const SHOWN_MAX = 20;

/** Whose packets the kernel counted most of. */
export function BusiestPeers() {
  const peers = useAdmissionPeers();
  const rows = useMemo(
    () =>
      peers.data &&
      [...peers.data]
        .filter((one) => both(one) > 0)
        .sort((a, b) => both(b) - both(a))
        .slice(0, SHOWN_MAX),
    [peers.data],
  );
  return (
    <Card flush title="Busiest peers">
      <DataTable
        label="the busiest peers"
        columns={COLUMNS}
        rows={rows}
        rowKey={(row) => row.address}
        href={(row) => `/peers/${encodeURIComponent(row.peer_id)}`}
        error={peers.error}
        onRetry={() => void peers.refetch()}
        sortedBy={{ id: "bytes", desc: true }}
        pageSize="all"
        dense
        empty={<EmptyState title="No peer has sent anything yet" />}
      />
    </Card>
  );
}

function both({ ingress, egress }: PeerTraffic): number {
  return ingress.bytes + egress.bytes;
}

const COLUMNS: Column<PeerTraffic>[] = [
  {
    id: "name",
    header: "Peer",
    cell: (row) => row.name,
    sort: (row) => row.name,
    name: true,
    grow: true,
  },
  {
    id: "address",
    header: "Address",
    cell: (row) => <code>{row.address}</code>,
    sort: (row) => row.address,
    from: 640,
  },
  {
    id: "connections",
    header: "Connections",
    cell: (row) => count(row.ingress.connections),
    sort: (row) => row.ingress.connections,
    align: "end",
    from: 900,
  },
  {
    id: "packets",
    header: "Packets",
    cell: (row) => count(row.ingress.packets + row.egress.packets),
    sort: (row) => row.ingress.packets + row.egress.packets,
    align: "end",
    from: 900,
  },
  { id: "bytes", header: "Bytes", cell: (row) => bytes(both(row)), sort: both, align: "end" },
  {
    id: "seen",
    header: "Last seen",
    cell: ({ ingress }) =>
      ingress.last_seen ? (
        <time dateTime={ingress.last_seen} title={dateTime(ingress.last_seen)}>
          {relative(ingress.last_seen)}
        </time>
      ) : (
        "–"
      ),
    sort: (row) => row.ingress.last_seen ?? "",
    align: "end",
    from: 480,
  },
];
