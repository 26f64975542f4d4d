/** What a stacked chart draws: sums from the bottom up. */

export interface Series {
  key: string;
  label: string;
  values: readonly number[];
  /** Token of its colour, where not the next one of the palette. */
  color?: `--${string}`;
}

/** Upper edges: `stacked[i][x]` is the sum of series 0 to i at x. */
export function stacked(series: readonly Series[]): number[][] {
  let below: number[] = [];
  return series.map(({ values }) => {
    below = values.map((value, x) => value + (below[x] ?? 0));
    return below;
  });
}

/** Sum of all series at x. */
export function total(series: readonly Series[], x: number): number {
  return series.reduce((sum, { values }) => sum + (values[x] ?? 0), 0);
}

const PALETTE = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5"] as const;
const REST = "--series-6";

/** The token of the colour of the series at `index`. */
export function colorToken(series: Series, index: number): `--${string}` {
  return series.color ?? PALETTE[index] ?? REST;
}
