/** What the page shows, as the address has it. */

import { useMemo } from "react";
import type { Query } from "@/api/http";
import type { Sort } from "@/components/DataTable";
import { bounds } from "@/format/range";
import { useParameters, type Patch } from "@/shell/parameters";

export const RANGES = [
  { value: "1h", label: "Last hour" },
  { value: "24h", label: "Last 24 hours" },
  { value: "7d", label: "Last 7 days" },
  { value: "14d", label: "Last 14 days" },
  { value: "30d", label: "Last 30 days" },
  { value: "365d", label: "Last 365 days" },
] as const;
const RANGE = "14d";
const PAGE_SIZE = 50;

export const FILTERS = [
  "user",
  "group",
  "provider",
  "model",
  "path",
  "outcome",
  "session",
  "search",
] as const;
export type FilterName = (typeof FILTERS)[number];

/** Outcomes, and the provider's refusals aside from them: what the filter offers. */
export type View = "requests" | "sessions" | "live";

export interface LogsState {
  view: View;
  range: string;
  filters: Record<FilterName, string>;
  isFiltered: boolean;
  /** What narrows the list, without time and page: also the live tail's. */
  filterQuery: Query;
  /** With the time. */
  query: Query;
  /** With page and order. */
  pageQuery: Query;
  sort: Sort;
  /** Changes filters; the list begins anew. */
  narrow: (patch: Patch) => void;
  /** Changes what else the address keeps. */
  change: (patch: Patch) => void;
}

export function useLogsState(): LogsState {
  const [parameters, change] = useParameters();
  const text = parameters.toString();
  return useMemo(() => {
    const state = read(new URLSearchParams(text), Date.now());
    return { ...state, change, narrow: (patch: Patch) => change({ ...patch, page: "" }) };
  }, [text, change]);
}

export function read(
  parameters: URLSearchParams,
  now: number,
): Omit<LogsState, "change" | "narrow"> {
  const value = (name: string) => parameters.get(name) ?? "";
  const view = value("view");
  const asked = value("range") || RANGE;
  const span = bounds(asked, "local", now);
  const filters = Object.fromEntries(FILTERS.map((name) => [name, value(name)])) as Record<
    FilterName,
    string
  >;
  const filterQuery: Query = {
    user_id: filters.user,
    group_id: filters.group,
    provider_id: filters.provider,
    model: filters.model,
    path: filters.path,
    outcome: filters.outcome,
    session_id: filters.session,
    search: filters.search,
  };
  const query = {
    ...filterQuery,
    start_date: (span ?? bounds(RANGE, "local", now))?.start,
    end_date: span?.end,
  };
  const page = Math.max(1, Math.floor(Number(value("page"))) || 1);
  const sort = { id: value("sort") || "timestamp", desc: value("order") !== "asc" };
  return {
    view: view === "sessions" || view === "live" ? view : "requests",
    range: span ? asked : RANGE,
    filters,
    isFiltered: FILTERS.some((name) => filters[name] !== ""),
    filterQuery,
    query,
    sort,
    pageQuery: {
      ...query,
      page,
      page_size: PAGE_SIZE,
      sort_by: sort.id,
      sort_order: sort.desc ? "desc" : "asc",
    },
  };
}
