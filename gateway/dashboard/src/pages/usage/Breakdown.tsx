import { Download, ScrollText } from "lucide-react";
import { useMemo } from "react";
import { address } from "@/api/http";
import { useNames, type Names } from "@/api/names";
import { useBreakdown, type Dimension, type UsageTotal } from "@/api/usage";
import { Card } from "@/components/Card";
import { DataTable, type Column } from "@/components/DataTable";
import { DownloadLink } from "@/components/DownloadLink";
import { Segmented } from "@/components/Segmented";
import { percent } from "@/format/number";
import { patched } from "@/shell/parameters";
import { Link } from "@/shell/router";
import css from "./Breakdown.module.css";
import { labelOf } from "./OverTime";
import { sumColumns } from "./OverTimeTable";
import { amount, type Metric } from "./series";
import type { UsageState } from "./state";

const DIMENSIONS: readonly { value: Dimension; label: string }[] = [
  { value: "provider", label: "Providers" },
  { value: "model", label: "Models" },
  { value: "user", label: "Users" },
  { value: "group", label: "Groups" },
];

/** What the table above does not say better. */
const SHOWN = new Set(["requests", "denied", "failed", "tokens", "cost"]);

/** Who and what it was used for. A name narrows the page to it. */
export function Breakdown({ state }: { state: UsageState }) {
  const by: Dimension = state.split === "kind" ? "provider" : state.split;
  const names = useNames();
  const totals = useBreakdown(by, state.query);
  const { metric } = state;
  const largest = Math.max(0, ...(totals.data ?? []).map((one) => amount(one, metric)));
  const whole = (totals.data ?? []).reduce((sum, one) => sum + amount(one, metric), 0);
  const columns = useMemo<Column<UsageTotal>[]>(
    () => [
      {
        id: "name",
        header: DIMENSIONS.find(({ value }) => value === by)?.label.slice(0, -1) ?? "",
        cell: (row) => <Name row={row} by={by} names={names} />,
        sort: (row) => labelOf(by, row.key, row.display_name, names),
        grow: true,
      },
      {
        id: "share",
        header: "Share",
        cell: (row) => <Share row={row} metric={metric} largest={largest} whole={whole} />,
        sort: (row) => amount(row, metric),
        from: 640,
      },
      ...sumColumns<UsageTotal>()
        .filter(({ id }) => SHOWN.has(id))
        .map(({ sum: _, ...column }) => column),
      {
        id: "logs",
        header: <span className="visually-hidden">Logs</span>,
        cell: (row) =>
          row.key && (
            <Link
              href={logsOf(by, row.key, state.range)}
              className={css.logs}
              aria-label={`Requests of ${labelOf(by, row.key, row.display_name, names)}`}
            >
              <ScrollText aria-hidden="true" />
            </Link>
          ),
        from: 480,
      },
    ],
    [by, names, metric, largest, whole, state.range],
  );
  return (
    <Card
      flush
      title="By whom and what"
      actions={
        <>
          <Segmented
            label="Break down by"
            value={by}
            onChange={(next) => state.change({ by: next })}
            options={DIMENSIONS}
          />
          <DownloadLink
            href={address("/usage/breakdown", { ...state.query, by, format: "csv" })}
            file={`usage-by-${by}.csv`}
            icon={<Download />}
          >
            CSV
          </DownloadLink>
        </>
      }
    >
      <DataTable
        key={`${by} ${metric}`}
        label={`usage by ${by}`}
        columns={columns}
        rows={totals.data}
        rowKey={(row) => row.key}
        error={totals.error}
        onRetry={() => void totals.refetch()}
        sortedBy={{ id: "share", desc: true }}
        pageSize={15}
        dense
      />
    </Card>
  );
}

function Name({ row, by, names }: { row: UsageTotal; by: Dimension; names: Names }) {
  const label = labelOf(by, row.key, row.display_name, names);
  if (!row.key) return <span className={css.none}>{label}</span>;
  return (
    <Link href={`/usage${patched(location.search, { [by]: row.key })}`} className={css.name}>
      {label}
    </Link>
  );
}

function Share({
  row,
  metric,
  largest,
  whole,
}: {
  row: UsageTotal;
  metric: Metric;
  largest: number;
  whole: number;
}) {
  const value = amount(row, metric);
  return (
    <span className={css.share}>
      <svg width="72" height="6" aria-hidden="true">
        <rect width="72" height="6" rx="3" className={css.track} />
        {value > 0 && (
          <rect width={Math.max(2, (72 * value) / largest)} height="6" rx="3" className={css.bar} />
        )}
      </svg>
      {whole > 0 ? percent((100 * value) / whole) : "–"}
    </span>
  );
}

function logsOf(by: Dimension, key: string, range: string): string {
  return `/logs${patched("", { [by]: key, range })}`;
}
