import css from "./Diff.module.css";
import { differences, fields, shown } from "./difference";

type Document = Record<string, unknown> | null;

/** Field by field. Secrets are fingerprints already when they get here. */
export function Diff({ before, after }: { before: Document; after: Document }) {
  const isChange = before !== null && after !== null;
  const rows = isChange ? differences(before, after) : fields(after ?? before);
  if (rows.length === 0) return <p className={css.none}>No field that is shown differs.</p>;
  return (
    <table className={css.diff}>
      <caption className="visually-hidden">
        {isChange ? "Fields before and after" : "Fields"}
      </caption>
      <thead>
        <tr>
          <th scope="col">Field</th>
          {isChange && <th scope="col">Before</th>}
          <th scope="col">{isChange ? "After" : "Value"}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.path}>
            <th scope="row">{row.path}</th>
            {isChange && <td>{row.before !== undefined && <del>{shown(row.before)}</del>}</td>}
            <td>
              {isChange
                ? row.after !== undefined && <ins>{shown(row.after)}</ins>
                : shown(row.after)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
