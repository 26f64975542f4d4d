import { useMemo } from "react";
import { useNames } from "@/api/names";
import { useSessions } from "@/api/usage";
import { Copy } from "@/components/Copy";
import { DataTable } from "@/components/DataTable";
import { Notice } from "@/components/Notice";
import { SidePanel } from "@/components/SidePanel";
import { ErrorState, Skeleton } from "@/components/States";
import { Stats } from "@/components/Stats";
import { compact, count, plural, usd } from "@/format/number";
import { dateTime, duration } from "@/format/time";
import { requestColumns } from "./columns";
import css from "./SessionPanel.module.css";

const SHOWN = new Set(["timestamp", "model", "total_tokens", "cost_usd", "status_code"]);

/** One session and its requests, the latest 200 of them. */
export function SessionPanel({
  userId,
  sessionId,
  onClose,
}: {
  userId: string;
  sessionId: string;
  onClose: () => void;
}) {
  const names = useNames();
  const sessions = useSessions({ user_id: userId, session_id: sessionId, page_size: 1 });
  const columns = useMemo(
    () => requestColumns(names, false).filter(({ id }) => SHOWN.has(id)),
    [names],
  );
  const session = sessions.data?.data[0];
  return (
    <SidePanel
      title="Session"
      lead={
        <>
          <code>{sessionId}</code>
          <Copy text={sessionId} label="Copy the session’s id" />
        </>
      }
      onClose={onClose}
    >
      {sessions.error && (
        <ErrorState
          error={sessions.error}
          what="this session"
          onRetry={() => void sessions.refetch()}
        />
      )}
      {sessions.isPending && <Skeleton lines={8} />}
      {sessions.data && !session && (
        <Notice tone="info" title="Not in the log">
          No request of this session is kept, or never was.
        </Notice>
      )}
      {session && (
        <>
          <Stats
            stats={[
              {
                label: "Requests",
                value: count(session.request_count),
                detail: plural(session.models.length, "model"),
              },
              {
                label: "Tokens",
                value: compact(session.total_tokens),
                detail: `${compact(session.input_tokens)} in · ${compact(session.output_tokens)} out`,
              },
              { label: "Cost", value: usd(session.cost_usd) },
              {
                label: "Span",
                value: duration(Date.parse(session.ended_at) - Date.parse(session.started_at)),
                detail: `since ${dateTime(session.started_at)}`,
              },
            ]}
          />
          <div className={css.requests}>
            {session.entries.length < session.request_count && (
              <p>The latest {count(session.entries.length)} requests, oldest first.</p>
            )}
            <DataTable
              dense
              label="requests of the session"
              columns={columns}
              rows={session.entries}
              rowKey={(row) => row.id}
              href={(row) => `/logs/${row.id}${location.search}`}
              pageSize={25}
            />
          </div>
        </>
      )}
    </SidePanel>
  );
}
