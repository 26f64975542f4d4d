import type { Timeline } from "@/api/usage";
import { duration } from "@/format/time";
import { phases, type Phase } from "./phases";
import css from "./Waterfall.module.css";

/** Whose time it was: the agent's and the network's, the node's, the provider's. */
const COLORS: Record<Phase["id"], string | undefined> = {
  receive: css.agent,
  decide: css.node,
  send: css.node,
  wait: css.provider,
  first_token: css.provider,
  stream: css.stream,
};

/** Where the time went; the figures say the same as the bars. */
export function Waterfall({ timeline }: { timeline: Timeline }) {
  const parts = phases(timeline);
  const whole = Math.max(timeline.end_ms, 0.001);
  const at = (ms: number) => `${(100 * ms) / whole}%`;
  return (
    <table className={css.waterfall}>
      <caption className="visually-hidden">Phases of the request</caption>
      <thead className="visually-hidden">
        <tr>
          <th scope="col">Phase</th>
          <th scope="col">From</th>
          <th scope="col">Took</th>
        </tr>
      </thead>
      <tbody>
        {parts.map((phase) => (
          <tr key={phase.id}>
            <th scope="row">{phase.label}</th>
            <td className={css.bar}>
              <span className="visually-hidden">{duration(phase.start)}</span>
              <svg width="100%" height="14" aria-hidden="true">
                <rect className={css.track} width="100%" height="14" rx="3" />
                <rect
                  className={COLORS[phase.id]}
                  x={at(phase.start)}
                  width={at(phase.end - phase.start)}
                  height="14"
                  rx="2"
                />
                {/* What takes next to no time is still there. */}
                <rect className={COLORS[phase.id]} x={at(phase.start)} width="2" height="14" />
              </svg>
            </td>
            <td className={css.took}>{duration(phase.end - phase.start)}</td>
          </tr>
        ))}
      </tbody>
      <tfoot>
        <tr>
          <th scope="row">Whole</th>
          <td />
          <td className={css.took}>{duration(timeline.end_ms)}</td>
        </tr>
      </tfoot>
    </table>
  );
}
