import type { Attempt } from "@/api/usage";
import { duration } from "@/format/time";
import css from "./CostTable.module.css";

/** Each try on one target; one that needed no new connection and was answered is no news. */
export function Attempts({ attempts }: { attempts: readonly Attempt[] }) {
  if (attempts.length === 0) return <p className={css.note}>No provider was asked.</p>;
  return (
    <table className={css.table}>
      <caption className="visually-hidden">Attempts</caption>
      <thead>
        <tr>
          <th scope="col">Attempt</th>
          <th scope="col">Target</th>
          <th scope="col">Connection</th>
          <th scope="col">Status</th>
        </tr>
      </thead>
      <tbody>
        {attempts.map((attempt, index) => (
          <tr key={index}>
            <th scope="row">{index + 1}</th>
            <td>{attempt.target_id}</td>
            <td>
              {attempt.connect_us === 0
                ? "kept open from before"
                : `new, took ${duration(attempt.connect_us / 1000)}`}
            </td>
            <td>{attempt.status_code || "no answer"}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
