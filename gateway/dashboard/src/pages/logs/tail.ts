/** The live tail's rows: the newest ones, a bounded number, whatever the rate. */

import type { AccessLogEntry } from "@/api/usage";

/** Older rows are let go; they are in the log. */
export const ROWS_MAX = 500;
/** An entry that is older than this when it comes is a sign of a feed that is behind. */
export const BEHIND_MS = 10_000;

const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;

export interface Tail {
  /** Newest first. */
  rows: readonly AccessLogEntry[];
  /** Came while it was paused, oldest first; as many as rows at most. */
  held: readonly AccessLogEntry[];
  /** All that came. */
  seen: number;
  paused: boolean;
  /** How old the newest one was when it came, in milliseconds. */
  lag: number;
}

export const NOTHING: Tail = { rows: [], held: [], seen: 0, paused: false, lag: 0 };

/** Takes what came since, oldest first. */
export function received(tail: Tail, entries: readonly AccessLogEntry[], now: number): Tail {
  const newest = entries.at(-1);
  if (!newest) return tail;
  const ended = Date.parse(newest.timestamp) + newest.duration_ms;
  const next = { ...tail, seen: tail.seen + entries.length, lag: Math.max(0, now - ended) };
  return tail.paused
    ? { ...next, held: [...tail.held, ...entries].slice(-ROWS_MAX) }
    : { ...next, rows: merged(tail.rows, entries) };
}

export function paused(tail: Tail): Tail {
  return { ...tail, paused: true };
}

export function resumed(tail: Tail): Tail {
  return { ...tail, paused: false, rows: merged(tail.rows, tail.held), held: [] };
}

/** Before try `count` (from 0): doubles each time, up to half a minute. */
export function backoff(count: number): number {
  return Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** count);
}

function merged(
  rows: readonly AccessLogEntry[],
  entries: readonly AccessLogEntry[],
): readonly AccessLogEntry[] {
  return [...[...entries].reverse(), ...rows].slice(0, ROWS_MAX);
}
