import { useMemo } from "react";
import { useAdmissionHistory } from "@/api/node";
import { Card } from "@/components/Card";
import { BarChart, type Bar } from "@/components/chart/BarChart";
import { Legend } from "@/components/chart/Legend";
import type { Series } from "@/components/chart/stack";
import { DataTable, type Column } from "@/components/DataTable";
import { Segmented } from "@/components/Segmented";
import { EmptyState, ErrorState, Skeleton } from "@/components/States";
import { compact, count } from "@/format/number";
import { useParameter } from "@/shell/router";
import { perMinute } from "./history";
import css from "./OverTime.module.css";
import { reasonName } from "./words";

const DROPS = [
  "unknown_peer",
  "not_overlay",
  "outside_overlay",
  "fragment",
  "extension_headers",
  "truncated",
];
const PASSES = ["from_peer", "to_peer", "other", "to_stranger", "from_peer_hidden", "not_ip"];

const minute = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const clock = (time: number) => minute.format(time);

/** Drops or passes of the last hour. */
export function OverTime() {
  const [asked, show] = useParameter("show");
  const verdict = asked === "passes" ? "passes" : "drops";
  const history = useAdmissionHistory();
  const minutes = useMemo(
    () =>
      history.data &&
      perMinute(history.data, verdict === "drops" ? DROPS : PASSES, reasonName, clock),
    [history.data, verdict],
  );
  return (
    <Card
      flush
      title="Packets per minute"
      actions={
        <Segmented
          label="Show"
          value={verdict}
          onChange={(next) => show(next === "drops" ? "" : next)}
          options={[
            { value: "drops", label: "Drops" },
            { value: "passes", label: "Passes" },
          ]}
        />
      }
    >
      {history.error && !minutes && (
        <div className={css.chart}>
          <ErrorState
            error={history.error}
            what="the last hour"
            onRetry={() => void history.refetch()}
          />
        </div>
      )}
      {history.isPending && <Skeleton lines={6} />}
      {minutes && minutes.bars.length === 0 && (
        <EmptyState title="No sample yet">
          The node takes one every ten seconds and keeps an hour of them. Longer histories are in
          its metrics.
        </EmptyState>
      )}
      {minutes && minutes.bars.length > 0 && minutes.series.length === 0 && (
        <EmptyState title={verdict === "drops" ? "Nothing was dropped" : "Nothing passed"}>
          In the last {minutes.bars.length === 1 ? "minute" : `${minutes.bars.length} minutes`}.
        </EmptyState>
      )}
      {minutes && minutes.series.length > 0 && (
        <>
          <div className={css.chart}>
            <BarChart
              label={`Packets per minute, ${verdict}`}
              bars={minutes.bars}
              series={minutes.series}
              format={count}
              formatAxis={compact}
            />
            <Legend series={minutes.series} />
          </div>
          <details className={css.twin}>
            <summary>The same as a table</summary>
            <Twin bars={minutes.bars} series={minutes.series} />
          </details>
        </>
      )}
    </Card>
  );
}

interface Row {
  index: number;
  label: string;
}

function Twin({ bars, series }: { bars: readonly Bar[]; series: readonly Series[] }) {
  const rows = bars.map(({ label }, index) => ({ index, label }));
  const columns: Column<Row>[] = [
    {
      id: "time",
      header: "Minute",
      cell: (row) => row.label,
      sort: (row) => row.index,
      grow: true,
    },
    ...series.map(({ key, label, values }): Column<Row> => ({
      id: key,
      header: label,
      cell: (row) => count(values[row.index] ?? 0),
      sort: (row) => values[row.index] ?? 0,
      sum: (all) => count(all.reduce((sum, row) => sum + (values[row.index] ?? 0), 0)),
      align: "end",
    })),
  ];
  return (
    <DataTable
      label="packets per minute"
      columns={columns}
      rows={rows}
      rowKey={(row) => String(row.index)}
      sortedBy={{ id: "time", desc: true }}
      pageSize={15}
      dense
    />
  );
}
