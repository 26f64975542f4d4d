/** Counts and money, in English notation everywhere so that a screenshot reads the same to everybody. */

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

/** 1,234,567 */
export function count(value: number): string {
  return whole.format(value);
}

/** 1.2M, for where the exact value is at hand elsewhere. */
export function compact(value: number): string {
  return value < 10_000 ? count(value) : short.format(value);
}

/** "1 policy", "3 policies". */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** $12.34; small amounts keep two significant digits: $0.0031. */
export function usd(value: number): string {
  if (value === 0) return "$0.00";
  const digits =
    Math.abs(value) >= 1 ? 2 : Math.min(9, 1 - Math.floor(Math.log10(Math.abs(value))));
  return `${value < 0 ? "-" : ""}$${new Intl.NumberFormat("en-US", {
    minimumFractionDigits: 2,
    maximumFractionDigits: Math.max(2, digits),
  }).format(Math.abs(value))}`;
}

/** 42%, 3.5%, <0.1% */
export function percent(value: number): string {
  if (value > 0 && value < 0.1) return "<0.1%";
  return `${value >= 10 ? Math.round(value) : Math.round(value * 10) / 10}%`;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** 1.5 MiB */
export function bytes(value: number): string {
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : Math.round(value * 10) / 10} ${UNITS[unit]}`;
}
