import type { Names } from "@/api/names";
import type { AccessLogEntry } from "@/api/usage";
import { Dot } from "@/components/Badge";
import type { Column } from "@/components/DataTable";
import { compact, count, usd } from "@/format/number";
import { dateTime, duration, timeOfDay } from "@/format/time";
import css from "./columns.module.css";
import { OUTCOMES, statusTone, why } from "./words";

/** Sorted by the node; only that there is an order matters here. */
const byNode = () => 0;

export function requestColumns(names: Names, sorts = true): Column<AccessLogEntry>[] {
  const sort = sorts ? { sort: byNode } : {};
  return [
    {
      id: "timestamp",
      header: "Time",
      cell: (row) => <Moment time={row.timestamp} />,
      name: true,
      ...sort,
    },
    {
      id: "user_id",
      header: "User",
      cell: (row) => (
        <span className={css.user}>
          <span>{row.display_name || row.user_id || "Unknown"}</span>
          {row.agent_id && <small>{row.agent_id}</small>}
        </span>
      ),
      grow: true,
      ...sort,
    },
    {
      id: "groups",
      header: "Group",
      cell: (row) => <Groups ids={row.group_ids} names={names} />,
      from: 1200,
    },
    {
      id: "model",
      header: "Model",
      cell: (row) => (
        <span className={css.model}>
          <span>{row.model || "–"}</span>
          <small>
            {row.resolved_provider_id ? names.provider(row.resolved_provider_id) : row.path}
          </small>
        </span>
      ),
      from: 640,
      ...sort,
    },
    {
      id: "total_tokens",
      header: "Tokens",
      cell: (row) => (
        <span
          title={`${count(row.input_tokens)} in, ${count(row.output_tokens)} out`}
          className={row.total_tokens === 0 ? css.none : undefined}
        >
          {row.total_tokens === 0 ? "–" : compact(row.total_tokens)}
        </span>
      ),
      align: "end",
      from: 900,
      ...sort,
    },
    {
      id: "cost_usd",
      header: "Cost",
      cell: (row) => <Cost row={row} />,
      align: "end",
      from: 480,
      ...sort,
    },
    {
      id: "duration",
      header: "Duration",
      cell: (row) => duration(row.duration_ms),
      align: "end",
      from: 900,
      ...sort,
    },
    {
      id: "status_code",
      header: "Status",
      cell: (row) => <StatusCell row={row} />,
      ...sort,
    },
  ];
}

export function Moment({ time }: { time: string }) {
  const today = new Date().toDateString() === new Date(time).toDateString();
  return (
    <time dateTime={time} title={`${dateTime(time)} (${time})`} className={css.time}>
      {timeOfDay(time)}
      {!today && <small>{dateTime(time).split(",")[0]}</small>}
    </time>
  );
}

export function Groups({ ids, names }: { ids: readonly string[]; names: Names }) {
  const [first, ...others] = ids;
  if (first === undefined) return <span className={css.none}>–</span>;
  return (
    <span className={css.groups} title={ids.map(names.group).join(", ")}>
      {names.group(first)}
      {others.length > 0 && <small> +{others.length}</small>}
    </span>
  );
}

function Cost({ row }: { row: AccessLogEntry }) {
  if (row.unpriced) {
    return (
      <span className={css.unpriced} title="No price is known for the model">
        no price
      </span>
    );
  }
  return <span className={row.cost_usd === 0 ? css.none : undefined}>{usd(row.cost_usd)}</span>;
}

function StatusCell({ row }: { row: AccessLogEntry }) {
  const reason = why(row);
  return (
    <span className={css.status}>
      <span>
        <Dot tone={statusTone(row)} />
        {row.status_code || "–"}
        <span className="visually-hidden"> {OUTCOMES[row.outcome]?.label}</span>
      </span>
      {reason && <small title={reason}>{reason}</small>}
    </span>
  );
}
