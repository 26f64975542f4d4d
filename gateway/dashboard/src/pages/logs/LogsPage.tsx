import { Download } from "lucide-react";
import { address } from "@/api/http";
import { DownloadLink } from "@/components/DownloadLink";
import { PageHeader } from "@/components/PageHeader";
import { Segmented } from "@/components/Segmented";
import { navigate, useRoute } from "@/shell/router";
import { ExchangePanel } from "./ExchangePanel";
import { LiveTail } from "./LiveTail";
import { LogFilters } from "./LogFilters";
import css from "./LogsPage.module.css";
import { RequestsTable } from "./RequestsTable";
import { SessionPanel } from "./SessionPanel";
import { SessionsTable } from "./SessionsTable";
import { useLogsState } from "./state";

/** Every request of an agent: listed, live, by session, and one by itself. */
export default function LogsPage() {
  const state = useLogsState();
  const { rest } = useRoute();
  const close = () => navigate(`/logs${location.search}`);
  return (
    <>
      <PageHeader
        title="Logs"
        actions={
          <>
            <DownloadLink
              href={address("/access-logs/export", { ...state.query, format: "csv" })}
              file="access-log.csv"
              icon={<Download />}
            >
              CSV
            </DownloadLink>
            <DownloadLink
              href={address("/access-logs/export", { ...state.query, format: "jsonl" })}
              file="access-log.jsonl"
              icon={<Download />}
            >
              JSON lines
            </DownloadLink>
          </>
        }
      >
        Every request that reached the endpoint, whoever answered it and whatever came of it.
      </PageHeader>
      <div className={css.views}>
        <Segmented
          label="View"
          value={state.view}
          onChange={(view) => state.narrow({ view, sort: "", order: "" })}
          options={[
            { value: "requests", label: "Requests" },
            { value: "sessions", label: "Sessions" },
            { value: "live", label: "Live" },
          ]}
        />
      </div>
      <LogFilters state={state} />
      {state.view === "requests" && <RequestsTable state={state} />}
      {state.view === "sessions" && <SessionsTable state={state} />}
      {state.view === "live" && <LiveTail state={state} />}
      {rest[0] === "sessions" && rest[1] && rest[2] ? (
        <SessionPanel userId={rest[1]} sessionId={rest[2]} onClose={close} />
      ) : (
        rest[0] && <ExchangePanel key={rest[0]} id={rest[0]} onClose={close} />
      )}
    </>
  );
}
