/** Samples of the kernel's counters as bars of a chart. */

import type { AdmissionHistory } from "@/api/node";
import type { Bar } from "@/components/chart/BarChart";
import type { Series } from "@/components/chart/stack";

const MINUTE_MS = 60_000;
/** Enough to see a burst, few enough to tell bars apart. */
const BARS_MAX = 60;

export interface Minutes {
  bars: Bar[];
  series: Series[];
}

/** Packets per minute by reason; `reasons` in the order in which they are stacked. */
export function perMinute(
  history: AdmissionHistory,
  reasons: readonly string[],
  name: (reason: string) => string,
  clock: (time: number) => string,
): Minutes {
  const minutes = new Map<number, Map<string, number>>();
  for (const { at, packets } of history.samples) {
    const minute = Math.floor(Date.parse(at) / MINUTE_MS) * MINUTE_MS;
    const sums = minutes.get(minute) ?? new Map<string, number>();
    minutes.set(minute, sums);
    for (const [reason, many] of Object.entries(packets)) {
      sums.set(reason, (sums.get(reason) ?? 0) + many);
    }
  }
  const shown = [...minutes].sort(([a], [b]) => a - b).slice(-BARS_MAX);
  return {
    bars: shown.map(([minute]) => ({
      label: clock(minute),
      title: `${clock(minute)}, one minute`,
    })),
    series: reasons
      .map((reason) => ({
        key: reason,
        label: name(reason),
        values: shown.map(([, sums]) => sums.get(reason) ?? 0),
      }))
      .filter(({ values }) => values.some((value) => value > 0)),
  };
}
