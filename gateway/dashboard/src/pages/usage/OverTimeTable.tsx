import { useMemo } from "react";
import type { Granularity, Sums, UsageBucket } from "@/api/usage";
import { DataTable, type Column } from "@/components/DataTable";
import { count, usd } from "@/format/number";
import { periodName } from "./periods";

/** The chart's figures: every period with traffic, the newest first. */
export function OverTimeTable({
  buckets,
  granularity,
}: {
  buckets: readonly UsageBucket[];
  granularity: Granularity;
}) {
  const columns = useMemo<Column<UsageBucket>[]>(
    () => [
      {
        id: "period",
        header: granularity === "month" ? "Month" : granularity === "week" ? "Week" : "Date",
        cell: (row) => (
          <time dateTime={row.period_start}>{periodName(row.period_start, granularity)}</time>
        ),
        sort: (row) => row.period_start,
        sum: () => "Total",
        grow: true,
      },
      ...sumColumns<UsageBucket>(),
    ],
    [granularity],
  );
  return (
    <DataTable
      label="Usage over time"
      columns={columns}
      rows={buckets}
      rowKey={(row) => row.period_start}
      sortedBy={{ id: "period", desc: true }}
      pageSize={14}
      dense
    />
  );
}

/** Columns that every table of sums has. */
export function sumColumns<Row extends Sums>(): Column<Row>[] {
  const figure = (
    id: string,
    header: string,
    of: (sums: Sums) => number,
    options: Partial<Column<Row>> & { format?: (value: number) => string } = {},
  ): Column<Row> => {
    const { format = count, ...rest } = options;
    return {
      id,
      header,
      cell: (row) => format(of(row)),
      sort: of,
      sum: (rows) => format(rows.reduce((total, row) => total + of(row), 0)),
      align: "end",
      ...rest,
    };
  };
  return [
    figure("requests", "Requests", (sums) => sums.request_count),
    figure("denied", "Denied", (sums) => sums.denied_count, { from: 1200 }),
    figure("failed", "Failed", (sums) => sums.failed_count, { from: 1200 }),
    figure("input", "Input", (sums) => sums.input_tokens, { from: 900 }),
    figure("cached", "From cache", (sums) => sums.cached_input_tokens, { from: 1200 }),
    figure("output", "Output", (sums) => sums.output_tokens, { from: 900 }),
    figure("tokens", "Tokens", (sums) => sums.total_tokens, { from: 480 }),
    figure("cost", "Cost", (sums) => sums.cost_usd, { format: usd }),
  ];
}
