import type { ReactNode } from "react";
import css from "./Stats.module.css";

export interface Stat {
  label: string;
  value: ReactNode;
  /** A smaller second line. */
  detail?: ReactNode;
}

/** A few figures side by side, above what they sum up. */
export function Stats({ stats, busy = false }: { stats: readonly Stat[]; busy?: boolean }) {
  return (
    <dl className={css.stats} aria-busy={busy || undefined}>
      {stats.map(({ label, value, detail }) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd className={css.value}>{value}</dd>
          {detail !== undefined && <dd className={css.detail}>{detail}</dd>}
        </div>
      ))}
    </dl>
  );
}
