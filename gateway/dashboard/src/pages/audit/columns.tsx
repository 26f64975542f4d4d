import type { AuditEntry } from "@/api/node";
import { Badge } from "@/components/Badge";
import type { Column } from "@/components/DataTable";
import { dateTime } from "@/format/time";
import css from "./columns.module.css";
import { actionOf, actorName, kindName, viaName } from "./words";

export const COLUMNS: Column<AuditEntry>[] = [
  {
    id: "time",
    header: "Time",
    cell: ({ time }) => (
      <time dateTime={time} className={css.time}>
        {dateTime(time)}
      </time>
    ),
    name: true,
  },
  {
    id: "event",
    header: "Change",
    cell: (entry) => <Badge tone={actionOf(entry).tone}>{actionOf(entry).label}</Badge>,
    from: 480,
  },
  {
    id: "target",
    header: "What",
    cell: (entry) => (
      <span className={css.two}>
        <span>{entry.target.name || kindName(entry.target.kind)}</span>
        <small>
          {kindName(entry.target.kind)} {entry.target.id}
        </small>
      </span>
    ),
    grow: true,
  },
  {
    id: "fields",
    header: "Fields",
    cell: (entry) => <Fields entry={entry} />,
    from: 1200,
  },
  {
    id: "actor",
    header: "Who",
    cell: (entry) => (
      <span className={css.two}>
        <span>{actorName(entry)}</span>
        <small>
          {viaName(entry.actor.via)}
          {entry.actor.address && `, ${entry.actor.address}`}
        </small>
      </span>
    ),
    from: 640,
  },
];

function Fields({ entry }: { entry: AuditEntry }) {
  if (entry.before === null || entry.after === null) return null;
  const names = Object.keys(entry.after).filter((name) => name !== "updated_at");
  return (
    <span className={css.fields} title={names.join(", ")}>
      {names.join(", ")}
    </span>
  );
}
