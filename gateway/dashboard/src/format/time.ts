/** Moments and spans. Tables show local time; the full moment with its zone is the title. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** 24 Nov 2026, 02:14:09 */
export function dateTime(time: string | number | Date): string {
  return moment.format(new Date(time));
}

/** 24 Nov 2026 */
export function date(time: string | number | Date): string {
  return day.format(new Date(time));
}

/** 02:14:09 */
export function timeOfDay(time: string | number | Date): string {
  return clock.format(new Date(time));
}

/** "just now", "3 min ago", "in 2 h", "12 d ago" */
export function relative(time: string | number | Date, now = Date.now()): string {
  const seconds = Math.round((new Date(time).getTime() - now) / 1000);
  const span = Math.abs(seconds);
  if (span < 10) return "just now";
  const text = coarse(span);
  return seconds < 0 ? `${text} ago` : `in ${text}`;
}

function coarse(seconds: number): string {
  if (seconds < MINUTE) return `${seconds} s`;
  if (seconds < HOUR) return `${Math.round(seconds / MINUTE)} min`;
  if (seconds < 2 * DAY) return `${Math.round(seconds / HOUR)} h`;
  return `${Math.round(seconds / DAY)} d`;
}

/** A limit's window: "30 days", "1 hour", "90 s". */
export function windowLength(seconds: number): string {
  for (const [unit, name] of [
    [DAY, "day"],
    [HOUR, "hour"],
    [MINUTE, "minute"],
  ] as const) {
    if (seconds >= unit && seconds % unit === 0) {
      const many = seconds / unit;
      return many === 1 ? `1 ${name}` : `${many} ${name}s`;
    }
  }
  return `${seconds} s`;
}

/** 350 µs, 12 ms, 1.24 s, 2 min 5 s */
export function duration(ms: number): string {
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(2)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}
