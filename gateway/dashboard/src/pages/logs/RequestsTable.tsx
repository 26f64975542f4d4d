import { ScrollText } from "lucide-react";
import { useMemo } from "react";
import { useNames } from "@/api/names";
import { useSettings } from "@/api/queries";
import { useAccessLog, type Page } from "@/api/usage";
import { Card } from "@/components/Card";
import { DataTable, type ServerPages } from "@/components/DataTable";
import { Notice } from "@/components/Notice";
import { EmptyState } from "@/components/States";
import { dateTime } from "@/format/time";
import { requestColumns } from "./columns";
import css from "./RequestsTable.module.css";
import type { LogsState } from "./state";

/** The log, cut into pages and sorted by the node. */
export function RequestsTable({ state }: { state: LogsState }) {
  const names = useNames();
  const log = useAccessLog(state.pageQuery);
  const columns = useMemo(() => requestColumns(names), [names]);
  return (
    <>
      <SearchedBack page={log.data} />
      <Card flush className={log.isPlaceholderData ? (css.stale ?? "") : ""}>
        <DataTable
          dense
          label="the access log"
          columns={columns}
          rows={log.data?.data}
          rowKey={(row) => row.id}
          href={(row) => `/logs/${row.id}${location.search}`}
          error={log.error}
          onRetry={() => void log.refetch()}
          server={serverPages(log.data, state)}
          empty={<NoEntries isFiltered={state.isFiltered} />}
        />
      </Card>
    </>
  );
}

export function serverPages(page: Page<unknown> | undefined, state: LogsState): ServerPages {
  return {
    page: page?.page ?? 1,
    pages: page?.total_pages ?? 1,
    total: page?.total_records ?? 0,
    totalIsCapped: page?.total_is_capped ?? false,
    onPage: (next) => state.change({ page: next === 1 ? "" : String(next) }),
    sort: state.sort,
    onSort: ({ id, desc }) => state.narrow({ sort: id, order: desc ? "" : "asc" }),
  };
}

/** The node looks through a bounded number of rows where no index helps, and says so. */
export function SearchedBack({ page }: { page: Page<unknown> | undefined }) {
  if (!page?.searched_back_to) return null;
  return (
    <div className={css.notice}>
      <Notice tone="info" title={`Searched back to ${dateTime(page.searched_back_to)}`}>
        What is older was not looked at. An earlier time range gets there.
      </Notice>
    </div>
  );
}

export function NoEntries({ isFiltered }: { isFiltered: boolean }) {
  const settings = useSettings();
  if (isFiltered) {
    return (
      <EmptyState icon={<ScrollText />} title="Nothing matches">
        No request in this time is left by these filters.
      </EmptyState>
    );
  }
  if (settings.data?.enable_log_collection === false) {
    return (
      <EmptyState icon={<ScrollText />} title="Log collection is off">
        Usage is still summed up, but single requests are not kept. Settings switches it on.
      </EmptyState>
    );
  }
  return (
    <EmptyState icon={<ScrollText />} title="No request in this time">
      Requests show up here within a second or two, denied ones too. Live shows them as they come.
    </EmptyState>
  );
}
