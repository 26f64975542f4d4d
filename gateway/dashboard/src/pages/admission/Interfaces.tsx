import { useMemo } from "react";
import type { InterfaceStatus, ReasonCount } from "@/api/node";
import { Status, type Tone } from "@/components/Badge";
import { Card } from "@/components/Card";
import { DataTable, type Column } from "@/components/DataTable";
import { count } from "@/format/number";
import css from "./Interfaces.module.css";
import { HOOKS, ROLES } from "./words";

/** Every interface that could carry a packet to the endpoint. */
export function Interfaces({ interfaces }: { interfaces: readonly InterfaceStatus[] }) {
  const columns = useMemo<Column<InterfaceStatus>[]>(
    () => [
      {
        id: "name",
        header: "Interface",
        cell: (row) => (
          <span className={css.name}>
            <code>{row.name}</code>
            <small>{ROLES[row.role]}</small>
          </span>
        ),
        sort: (row) => row.name,
        grow: true,
      },
      {
        id: "hook",
        header: "Hook",
        cell: (row) => (
          <span className={css.name}>
            <Status tone={tone(row)}>{row.role === "gone" ? "–" : HOOKS[row.mode]}</Status>
            {row.problem && <small className={css.problem}>{row.problem}</small>}
          </span>
        ),
        sort: (row) => row.mode,
      },
      {
        id: "drops",
        header: "Dropped",
        cell: (row) => count(packets(row, "drop")),
        sort: (row) => packets(row, "drop"),
        align: "end",
        from: 480,
      },
      {
        id: "passes",
        header: "Passed",
        cell: (row) => count(packets(row, "pass")),
        sort: (row) => packets(row, "pass"),
        align: "end",
        from: 640,
      },
    ],
    [],
  );
  return (
    <Card flush title="Interfaces">
      <DataTable
        label="interfaces"
        columns={columns}
        rows={interfaces}
        rowKey={(row) => `${row.index} ${row.name}`}
      />
    </Card>
  );
}

function packets(one: InterfaceStatus, verdict: ReasonCount["verdict"]): number {
  return one.counters
    .filter((counter) => counter.verdict === verdict)
    .reduce((sum, counter) => sum + counter.packets, 0);
}

function tone(one: InterfaceStatus): Tone {
  if (one.role === "gone" || one.mode === "excluded") return "neutral";
  if (one.mode === "none") return "bad";
  return one.problem ? "warn" : "ok";
}
