/** Periods of a range, also those in which nothing happened, which the node leaves out. All in UTC. */

import type { Granularity } from "@/api/usage";
import type { Bar } from "@/components/chart/BarChart";
import type { Bounds } from "@/format/range";

const DAY_MS = 86_400_000;

/** First days, `YYYY-MM-DD`, of every period that `bounds` touch. */
export function periodStarts(bounds: Bounds, granularity: Granularity, now: number): string[] {
  const end = bounds.end ? Date.parse(bounds.end) : now;
  const starts: string[] = [];
  let at = startOf(Date.parse(bounds.start), granularity);
  while (at <= end) {
    starts.push(new Date(at).toISOString().slice(0, 10));
    at = next(at, granularity);
  }
  return starts;
}

function startOf(time: number, granularity: Granularity): number {
  const day = Math.floor(time / DAY_MS) * DAY_MS;
  const date = new Date(day);
  switch (granularity) {
    case "day":
      return day;
    case "week":
      // Weeks begin on Mondays.
      return day - ((date.getUTCDay() + 6) % 7) * DAY_MS;
    case "month":
      return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
  }
}

function next(start: number, granularity: Granularity): number {
  const date = new Date(start);
  switch (granularity) {
    case "day":
      return start + DAY_MS;
    case "week":
      return start + 7 * DAY_MS;
    case "month":
      return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
  }
}

const utc = (options: Intl.DateTimeFormatOptions) =>
  new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const short = utc({ day: "numeric", month: "short" });
const long = utc({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
const month = utc({ month: "short", year: "numeric" });

export function periodBar(start: string, granularity: Granularity): Bar {
  const day = new Date(`${start}T00:00:00Z`);
  switch (granularity) {
    case "day":
      return { label: short.format(day), title: long.format(day) };
    case "week":
      return { label: short.format(day), title: `Week of ${short.format(day)}` };
    case "month":
      return { label: month.format(day), title: month.format(day) };
  }
}

/** In tables. */
export function periodName(start: string, granularity: Granularity): string {
  return periodBar(start, granularity).title;
}
