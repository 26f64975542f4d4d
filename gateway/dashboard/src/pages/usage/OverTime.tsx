import { Download } from "lucide-react";
import { useMemo } from "react";
import { address, type Query } from "@/api/http";
import { useNames, type Names } from "@/api/names";
import { useBreakdown, useOverviews, type Dimension, type UsageBucket } from "@/api/usage";
import { Card } from "@/components/Card";
import { BarChart } from "@/components/chart/BarChart";
import { Legend } from "@/components/chart/Legend";
import type { Series } from "@/components/chart/stack";
import { DownloadLink } from "@/components/DownloadLink";
import { Select } from "@/components/Input";
import { compact, count, usd } from "@/format/number";
import { OverTimeTable } from "./OverTimeTable";
import { periodBar, periodStarts } from "./periods";
import { byKey, byKind, largest, type Metric } from "./series";
import css from "./OverTime.module.css";
import { parameterOf, type Split, type UsageState } from "./state";

const SPLITS: readonly { value: Split; label: string }[] = [
  { value: "kind", label: "By kind" },
  { value: "provider", label: "By provider" },
  { value: "model", label: "By model" },
  { value: "user", label: "By user" },
  { value: "group", label: "By group" },
];

const TITLES: Record<Metric, string> = { tokens: "Tokens", cost: "Cost", requests: "Requests" };

export function OverTime({
  state,
  buckets,
}: {
  state: UsageState;
  buckets: readonly UsageBucket[];
}) {
  const { granularity, metric, split } = state;
  const starts = useMemo(
    () => periodStarts(state.bounds, granularity, Date.now()),
    [state.bounds, granularity],
  );
  const bars = useMemo(
    () => starts.map((start) => periodBar(start, granularity)),
    [starts, granularity],
  );
  const kinds = useMemo(() => byKind(buckets, starts, metric), [buckets, starts, metric]);
  const title = `${TITLES[metric]} per ${granularity}`;
  const chart = (series: readonly Series[]) => (
    <>
      <BarChart
        label={title}
        bars={bars}
        series={series}
        format={metric === "cost" ? usd : count}
        formatAxis={metric === "cost" ? usd : compact}
      />
      <Legend series={series} />
    </>
  );
  return (
    <Card
      title={title}
      actions={
        <>
          <Select
            aria-label="Split bars"
            className={css.split}
            value={split}
            onChange={(by) => state.change({ by })}
            options={SPLITS}
          />
          <DownloadLink
            href={address("/usage/overview", { ...state.query, granularity, format: "csv" })}
            file={`usage-per-${granularity}.csv`}
            icon={<Download />}
          >
            CSV
          </DownloadLink>
        </>
      }
      flush
    >
      <div className={css.chart}>
        {split === "kind" ? (
          chart(kinds)
        ) : (
          <ByKey state={state} by={split} starts={starts} buckets={buckets} draw={chart} />
        )}
        {split === "group" && (
          <p className={css.note}>
            Requests of somebody in several groups count in each of them, so groups may add up to
            more than there was.
          </p>
        )}
      </div>
      <OverTimeTable buckets={buckets} granularity={granularity} />
    </Card>
  );
}

interface ByKeyProps {
  state: UsageState;
  by: Dimension;
  starts: string[];
  buckets: readonly UsageBucket[];
  draw: (series: readonly Series[]) => React.ReactNode;
}

/** One small request for each of the largest keys: the node keeps their sums ready. */
function ByKey({ state, by, starts, buckets, draw }: ByKeyProps) {
  const { metric, granularity, query } = state;
  const names = useNames();
  const totals = useBreakdown(by, query).data;
  const keys = useMemo(() => largest(totals ?? [], metric), [totals, metric]);
  const queries = keys.map(({ key }): Query => ({ ...query, [parameterOf(by)]: key }));
  const read = useOverviews(queries, granularity);
  const isReady = totals !== undefined && read.every(({ data }) => data !== undefined);
  const newest = Math.max(0, ...read.map(({ dataUpdatedAt }) => dataUpdatedAt));
  const series = useMemo(
    () =>
      isReady
        ? byKey(
            keys.map(({ key, display_name }, index) => ({
              key,
              label: labelOf(by, key, display_name, names),
              buckets: read[index]?.data ?? [],
            })),
            buckets,
            starts,
            metric,
            by,
          )
        : null,
    // What was read changes with `newest`; its array is another one every time.
    [isReady, newest, keys, buckets, starts, metric, by, names],
  );
  return (
    <>{series ? draw(series) : <div className={css.wait} role="status" aria-label="Loading" />}</>
  );
}

export function labelOf(by: Dimension, key: string, display: string, names: Names): string {
  switch (by) {
    case "provider":
      return key ? names.provider(key) : "No provider reached";
    case "group":
      return key ? names.group(key) : "No group";
    case "user":
      return display || key || "Nobody known";
    case "model":
      return key || "No model";
  }
}
