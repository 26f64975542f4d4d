import css from "./Legend.module.css";
import { colorToken, type Series } from "./stack";

/** Names of a chart's colours, in the order in which they are stacked. */
export function Legend({ series }: { series: readonly Series[] }) {
  if (series.length === 0) return null;
  return (
    <ul className={css.legend}>
      {series.map((one, index) => (
        <li key={one.key}>
          <Swatch color={colorToken(one, index)} />
          {one.label}
        </li>
      ))}
    </ul>
  );
}

export function Swatch({ color }: { color: `--${string}` }) {
  return (
    <svg className={css.swatch} width="10" height="10" aria-hidden="true">
      <rect width="10" height="10" rx="2.5" style={{ fill: `var(${color})` }} />
    </svg>
  );
}
