import type { ReactNode } from "react";
import css from "./KeyValue.module.css";

/** Facts by name; `null` values are left out. */
export function KeyValue({
  rows,
}: {
  rows: readonly (readonly [name: string, value: ReactNode])[];
}) {
  return (
    <dl className={css.list}>
      {rows.map(([name, value]) =>
        value === null || value === undefined ? null : (
          <div key={name} className={css.row}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ),
      )}
    </dl>
  );
}
