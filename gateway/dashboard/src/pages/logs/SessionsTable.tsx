import { useMemo } from "react";
import { useNames, type Names } from "@/api/names";
import { useSessions, type AccessLogSession } from "@/api/usage";
import { Badge } from "@/components/Badge";
import { Card } from "@/components/Card";
import { DataTable, type Column } from "@/components/DataTable";
import { compact, count, usd } from "@/format/number";
import { duration } from "@/format/time";
import { Groups, Moment } from "./columns";
import css from "./columns.module.css";
import { NoEntries, SearchedBack, serverPages } from "./RequestsTable";
import type { LogsState } from "./state";

/** Requests that an agent marked as belonging together. */
export function SessionsTable({ state }: { state: LogsState }) {
  const names = useNames();
  const sessions = useSessions(state.pageQuery);
  const columns = useMemo(() => sessionColumns(names), [names]);
  return (
    <>
      <SearchedBack page={sessions.data} />
      <Card flush>
        <DataTable
          dense
          label="the sessions"
          columns={columns}
          rows={sessions.data?.data}
          rowKey={(row) => `${row.user_id} ${row.session_id || row.entries[0]?.id}`}
          href={(row) => sessionPath(row) + location.search}
          error={sessions.error}
          onRetry={() => void sessions.refetch()}
          server={serverPages(sessions.data, state)}
          empty={<NoEntries isFiltered={state.isFiltered} />}
        />
      </Card>
    </>
  );
}

function sessionPath({ user_id, session_id, entries }: AccessLogSession): string {
  // A request without a session is one by itself.
  return session_id
    ? `/logs/sessions/${encodeURIComponent(user_id)}/${encodeURIComponent(session_id)}`
    : `/logs/${entries[0]?.id ?? ""}`;
}

const byNode = () => 0;

function sessionColumns(names: Names): Column<AccessLogSession>[] {
  const userOf = (row: AccessLogSession) => row.entries.at(-1)?.display_name || row.user_id;
  return [
    {
      id: "timestamp",
      header: "Last activity",
      cell: (row) => <Moment time={row.ended_at} />,
      sort: byNode,
      name: true,
    },
    {
      id: "user_id",
      header: "User",
      cell: (row) => (
        <span className={css.user}>
          <span>{userOf(row) || "Unknown"}</span>
          <small>{row.session_id || "No session"}</small>
        </span>
      ),
      sort: byNode,
      grow: true,
    },
    {
      id: "groups",
      header: "Group",
      cell: (row) => <Groups ids={row.group_ids} names={names} />,
      from: 1200,
    },
    {
      id: "models",
      header: "Models",
      cell: (row) => (
        <span className={css.user} title={row.models.join(", ")}>
          <span>{row.models.join(", ") || "–"}</span>
        </span>
      ),
      from: 640,
    },
    {
      id: "request_count",
      header: "Requests",
      cell: (row) => count(row.request_count),
      sort: byNode,
      align: "end",
      from: 480,
    },
    {
      id: "total_tokens",
      header: "Tokens",
      cell: (row) => compact(row.total_tokens),
      sort: byNode,
      align: "end",
      from: 640,
    },
    {
      id: "cost_usd",
      header: "Cost",
      cell: (row) => usd(row.cost_usd),
      sort: byNode,
      align: "end",
    },
    {
      id: "duration",
      header: "Span",
      cell: (row) => duration(Date.parse(row.ended_at) - Date.parse(row.started_at)),
      sort: byNode,
      align: "end",
      from: 900,
    },
    {
      id: "decision",
      header: "Decision",
      cell: (row) =>
        row.decision === "deny" ? <Badge tone="warn">Denied</Badge> : <Badge>Allowed</Badge>,
      sort: byNode,
      from: 480,
    },
  ];
}
