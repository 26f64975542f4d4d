import { Eraser, Pause, Play, RotateCw } from "lucide-react";
import { useMemo } from "react";
import { useNames } from "@/api/names";
import { Status } from "@/components/Badge";
import { Button } from "@/components/Button";
import { Card } from "@/components/Card";
import { DataTable } from "@/components/DataTable";
import { Notice } from "@/components/Notice";
import { EmptyState } from "@/components/States";
import { count, plural } from "@/format/number";
import { duration } from "@/format/time";
import { requestColumns } from "./columns";
import css from "./LiveTail.module.css";
import type { LogsState } from "./state";
import { BEHIND_MS, ROWS_MAX } from "./tail";
import { useTail, type Connection } from "./useTail";

/** Requests as they end. */
export function LiveTail({ state }: { state: LogsState }) {
  const names = useNames();
  const columns = useMemo(() => requestColumns(names, false), [names]);
  const { tail, connection, wasSlow, ...act } = useTail(state.filterQuery);
  return (
    <Card
      flush
      title={<ConnectionState connection={connection} paused={tail.paused} />}
      actions={
        <>
          <span className={css.seen}>
            {tail.seen > ROWS_MAX
              ? `newest ${ROWS_MAX} of ${count(tail.seen)}`
              : plural(tail.seen, "request")}
          </span>
          {connection.state === "waiting" && (
            <Button size="s" icon={<RotateCw />} onClick={act.reconnect}>
              Connect now
            </Button>
          )}
          <Button size="s" icon={<Eraser />} onClick={act.clear} disabled={tail.rows.length === 0}>
            Clear
          </Button>
          {tail.paused ? (
            <Button size="s" look="primary" icon={<Play />} onClick={act.resume}>
              {tail.held.length > 0 ? `Go on · ${count(tail.held.length)} new` : "Go on"}
            </Button>
          ) : (
            <Button size="s" icon={<Pause />} onClick={act.pause}>
              Pause
            </Button>
          )}
        </>
      }
    >
      {tail.lag > BEHIND_MS && (
        <div className={css.notice}>
          <Notice tone="warn" title={`Behind by ${duration(tail.lag)}`}>
            What comes in now ended that long ago: the node is catching up, or its clock and this
            machine’s differ.
          </Notice>
        </div>
      )}
      {wasSlow && (
        <div className={css.notice}>
          <Notice tone="info">
            More came than this browser took, so the node closed the feed once. It went on behind
            the last row; nothing is missing.
          </Notice>
        </div>
      )}
      <DataTable
        dense
        label="live requests"
        columns={columns}
        rows={tail.rows}
        rowKey={(row) => row.id}
        href={(row) => `/logs/${row.id}${location.search}`}
        pageSize="all"
        empty={
          <EmptyState title="Waiting for the next request">
            It shows up here as soon as it has ended.
            {state.isFiltered && " Only what the filters leave is shown."}
          </EmptyState>
        }
      />
    </Card>
  );
}

function ConnectionState({ connection, paused }: { connection: Connection; paused: boolean }) {
  if (connection.state === "connecting") return <Status tone="neutral">Connecting</Status>;
  if (connection.state === "waiting") {
    const seconds = Math.max(1, Math.round((connection.until - Date.now()) / 1000));
    return <Status tone="bad">Not connected; next try in {seconds} s</Status>;
  }
  return paused ? <Status tone="warn">Paused</Status> : <Status tone="ok">Live</Status>;
}
