/** What the page shows, as the address has it. */

import { useMemo } from "react";
import type { Query } from "@/api/http";
import type { Dimension, Granularity } from "@/api/usage";
import { bounds, type Bounds } from "@/format/range";
import { useParameters, type Patch } from "@/shell/parameters";
import type { Metric } from "./series";

export const RANGES = [
  { value: "7d", label: "Last 7 days" },
  { value: "14d", label: "Last 14 days" },
  { value: "30d", label: "Last 30 days" },
  { value: "90d", label: "Last 90 days" },
  { value: "365d", label: "Last 365 days" },
] as const;
const RANGE = "14d";

/** What bars are split by: kinds of what is counted, or a dimension. */
export type Split = "kind" | Dimension;

export interface UsageState {
  range: string;
  bounds: Bounds;
  granularity: Granularity;
  metric: Metric;
  split: Split;
  /** Parameters of every request. */
  query: Query;
  filters: Record<Dimension, string>;
  change: (patch: Patch) => void;
}

const DIMENSIONS = ["user", "group", "provider", "model"] as const;

export function useUsageState(): UsageState {
  const [parameters, change] = useParameters();
  const text = parameters.toString();
  return useMemo(
    () => ({ ...read(new URLSearchParams(text), Date.now()), change }),
    [text, change],
  );
}

export function read(parameters: URLSearchParams, now: number): Omit<UsageState, "change"> {
  const one = <V extends string>(name: string, choices: readonly V[], otherwise: V): V => {
    const value = parameters.get(name);
    return choices.find((choice) => choice === value) ?? otherwise;
  };
  let range = parameters.get("range") ?? RANGE;
  let span = bounds(range, "utc", now);
  if (!span) {
    range = RANGE;
    span = bounds(RANGE, "utc", now) as Bounds;
  }
  const [user = "", group = "", provider = "", model = ""] = DIMENSIONS.map(
    (name) => parameters.get(name) ?? "",
  );
  return {
    range,
    bounds: span,
    granularity: one("per", ["day", "week", "month"], "day"),
    metric: one("show", ["tokens", "cost", "requests"], "tokens"),
    split: one("by", ["kind", "provider", "model", "user", "group"], "kind"),
    filters: { user, group, provider, model },
    query: {
      start_date: span.start,
      end_date: span.end,
      user_id: user,
      group_id: group,
      provider_id: provider,
      model,
    },
  };
}

/** The parameter of the API that narrows by a dimension. */
export function parameterOf(by: Dimension): string {
  return by === "model" ? by : `${by}_id`;
}
