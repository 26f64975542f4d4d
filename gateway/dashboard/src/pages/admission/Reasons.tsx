import { useMemo } from "react";
import type { InterfaceStatus, ReasonCount } from "@/api/node";
import { Badge } from "@/components/Badge";
import { Card } from "@/components/Card";
import { DataTable, type Column } from "@/components/DataTable";
import { bytes, count } from "@/format/number";
import { reasonName } from "./words";

/** Totals by reason, on all interfaces together. */
export function Reasons({ interfaces }: { interfaces: readonly InterfaceStatus[] }) {
  const rows = useMemo(() => byReason(interfaces), [interfaces]);
  return (
    <Card flush title="By reason, since the program was first attached">
      <DataTable
        label="packets by reason"
        columns={COLUMNS}
        rows={rows}
        rowKey={(row) => row.reason}
        sortedBy={{ id: "packets", desc: true }}
        pageSize="all"
        dense
      />
    </Card>
  );
}

const COLUMNS: Column<ReasonCount>[] = [
  {
    id: "reason",
    header: "Reason",
    cell: (row) => reasonName(row.reason),
    sort: (row) => reasonName(row.reason),
    grow: true,
  },
  {
    id: "verdict",
    header: "Verdict",
    cell: (row) =>
      row.verdict === "drop" ? <Badge tone="warn">Drop</Badge> : <Badge tone="ok">Pass</Badge>,
    sort: (row) => row.verdict,
  },
  {
    id: "packets",
    header: "Packets",
    cell: (row) => count(row.packets),
    sort: (row) => row.packets,
    align: "end",
  },
  {
    id: "bytes",
    header: "Bytes",
    cell: (row) => bytes(row.bytes),
    sort: (row) => row.bytes,
    align: "end",
    from: 480,
  },
];

function byReason(interfaces: readonly InterfaceStatus[]): ReasonCount[] {
  const sums = new Map<string, ReasonCount>();
  for (const counter of interfaces.flatMap((one) => one.counters)) {
    const sum = sums.get(counter.reason);
    sums.set(counter.reason, {
      ...counter,
      packets: counter.packets + (sum?.packets ?? 0),
      bytes: counter.bytes + (sum?.bytes ?? 0),
    });
  }
  return [...sums.values()];
}
