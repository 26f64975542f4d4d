/** What the chart stacks: kinds of what is counted, or the largest keys of a dimension and the rest. */

import type { Amounts, Dimension, Sums, UsageBucket, UsageTotal } from "@/api/usage";
import type { Series } from "@/components/chart/stack";

export type Metric = "tokens" | "cost" | "requests";

/** Keys that get a colour of their own. */
export const KEYS_SHOWN = 5;

export function amount(sums: Sums, metric: Metric): number {
  switch (metric) {
    case "tokens":
      return sums.total_tokens;
    case "cost":
      return sums.cost_usd;
    case "requests":
      return sums.request_count;
  }
}

interface Kind {
  key: string;
  label: string;
  color?: `--${string}`;
  of: (sums: Sums) => number;
}

const KINDS: Record<Metric, readonly Kind[]> = {
  tokens: [
    { key: "input", label: "Input", of: uncached },
    { key: "cached", label: "Read from cache", of: (sums) => sums.cached_input_tokens },
    { key: "written", label: "Written to cache", of: (sums) => sums.cache_creation_tokens },
    { key: "output", label: "Output", of: (sums) => sums.output_tokens },
  ],
  cost: [
    { key: "input", label: "Input", of: (sums) => sums.input_cost_usd },
    { key: "cached", label: "Read from cache", of: (sums) => sums.cached_input_cost_usd },
    { key: "written", label: "Written to cache", of: (sums) => sums.cache_creation_cost_usd },
    { key: "output", label: "Output", of: (sums) => sums.output_cost_usd },
    { key: "other", label: "Tools and others", of: (sums) => sums.other_cost_usd },
  ],
  requests: [
    {
      key: "answered",
      label: "Answered",
      of: (sums) => sums.request_count - sums.denied_count - sums.failed_count,
    },
    { key: "denied", label: "Denied", color: "--warn-mark", of: (sums) => sums.denied_count },
    { key: "failed", label: "Failed", color: "--bad-mark", of: (sums) => sums.failed_count },
  ],
};

function uncached(sums: Amounts): number {
  return Math.max(0, sums.input_tokens - sums.cached_input_tokens - sums.cache_creation_tokens);
}

/** By kind of token, of cost or of outcome; kinds that do not occur are left out. */
export function byKind(
  buckets: readonly UsageBucket[],
  starts: string[],
  metric: Metric,
): Series[] {
  const at = byStart(buckets);
  const value = (kind: Kind, start: string) => {
    const bucket = at.get(start);
    return bucket ? kind.of(bucket) : 0;
  };
  return KINDS[metric]
    .map((kind) => ({
      key: kind.key,
      label: kind.label,
      ...(kind.color ? { color: kind.color } : {}),
      values: starts.map((start) => value(kind, start)),
    }))
    .filter(({ values }) => values.some((value) => value > 0));
}

/** The keys that get a colour: the largest ones. An empty key cannot be asked for, and is of the rest. */
export function largest(totals: readonly UsageTotal[], metric: Metric): UsageTotal[] {
  return totals
    .filter((one) => one.key !== "" && amount(one, metric) > 0)
    .sort((a, b) => amount(b, metric) - amount(a, metric))
    .slice(0, KEYS_SHOWN);
}

export interface Part {
  key: string;
  label: string;
  buckets: readonly UsageBucket[];
}

/** By key. The rest is what `all` has beyond the parts; members of several groups count in each of them, so
 *  there groups have no rest. */
export function byKey(
  parts: readonly Part[],
  all: readonly UsageBucket[],
  starts: string[],
  metric: Metric,
  by: Dimension,
): Series[] {
  const series: Series[] = parts.map(({ key, label, buckets }) => {
    const at = byStart(buckets);
    return { key, label, values: starts.map((start) => valueAt(at, start, metric)) };
  });
  if (by === "group") return series;
  const whole = byStart(all);
  const rest = starts.map((start, x) => {
    const shown = series.reduce((sum, { values }) => sum + (values[x] ?? 0), 0);
    const left = valueAt(whole, start, metric) - shown;
    // Sums of money are rounded in their last digit.
    return left > 1e-9 ? left : 0;
  });
  if (rest.some((value) => value > 0)) {
    series.push({ key: "", label: "All others", color: "--series-6", values: rest });
  }
  return series;
}

function valueAt(at: ReadonlyMap<string, UsageBucket>, start: string, metric: Metric): number {
  const bucket = at.get(start);
  return bucket ? amount(bucket, metric) : 0;
}

function byStart(buckets: readonly UsageBucket[]): ReadonlyMap<string, UsageBucket> {
  return new Map(buckets.map((bucket) => [bucket.period_start, bucket]));
}
