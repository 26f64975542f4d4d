/** Ranges of time as the address has them: `14d` and `24h` end now, `2026-11-01..2026-11-10` are whole days. */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Whose midnight days begin at. Sums are kept by UTC days. */
export type Zone = "utc" | "local";

export interface Bounds {
  /** RFC 3339. */
  start: string;
  /** Absent: up to now. */
  end?: string;
}

export interface Days {
  from: string;
  to: string;
}

/** What a range means at `now`; `null` for a text that is none. */
export function bounds(range: string, zone: Zone, now: number): Bounds | null {
  const days = daysOf(range);
  if (days) {
    const start = midnight(days.from, zone);
    const end = midnight(days.to, zone);
    if (start === null || end === null || start > end) return null;
    return { start: iso(start), end: iso(nextDay(end, zone) - 1) };
  }
  const match = /^(\d{1,4})([hd])$/.exec(range);
  if (!match) return null;
  const many = Number(match[1]);
  if (many === 0) return null;
  // Up to a minute more keeps what was read a moment ago in use.
  const minute = Math.floor(now / MINUTE_MS) * MINUTE_MS;
  if (match[2] === "h") return { start: iso(minute - many * HOUR_MS) };
  // Today counts as one of them where sums are of whole days.
  return zone === "utc"
    ? { start: iso(Math.floor(now / DAY_MS - (many - 1)) * DAY_MS) }
    : { start: iso(minute - many * DAY_MS) };
}

export function daysOf(range: string): Days | null {
  const match = /^(\d{4}-\d{2}-\d{2})\.\.(\d{4}-\d{2}-\d{2})$/.exec(range);
  return match?.[1] && match[2] ? { from: match[1], to: match[2] } : null;
}

/** `YYYY-MM-DD` of a moment. */
export function dayOf(time: number, zone: Zone): string {
  if (zone === "utc") return new Date(time).toISOString().slice(0, 10);
  const local = new Date(time);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${local.getFullYear()}-${two(local.getMonth() + 1)}-${two(local.getDate())}`;
}

function midnight(day: string, zone: Zone): number | null {
  const time = new Date(zone === "utc" ? `${day}T00:00:00Z` : `${day}T00:00:00`).getTime();
  return Number.isNaN(time) ? null : time;
}

function nextDay(start: number, zone: Zone): number {
  if (zone === "utc") return start + DAY_MS;
  const next = new Date(start);
  // A local day may have 23 or 25 hours.
  next.setDate(next.getDate() + 1);
  return next.getTime();
}

function iso(time: number): string {
  return new Date(time).toISOString();
}
