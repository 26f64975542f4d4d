import { useMemo } from "react";
import type { Query } from "@/api/http";
import { useAudit } from "@/api/node";
import { Card } from "@/components/Card";
import { DataTable } from "@/components/DataTable";
import { Filter, Filters } from "@/components/Filters";
import { PageHeader } from "@/components/PageHeader";
import { EmptyState } from "@/components/States";
import { TimeRange } from "@/components/TimeRange";
import { bounds } from "@/format/range";
import { useParameters } from "@/shell/parameters";
import { navigate, useRoute } from "@/shell/router";
import { COLUMNS } from "./columns";
import { EntryPanel } from "./EntryPanel";
import { Verify } from "./Verify";
import { actorName, KINDS } from "./words";

const RANGES = [
  { value: "24h", label: "Last 24 hours" },
  { value: "7d", label: "Last 7 days" },
  { value: "30d", label: "Last 30 days" },
  { value: "365d", label: "Last 365 days" },
  { value: "all", label: "All that is kept" },
] as const;
const RANGE = "all";
const PAGE_SIZE = 50;

/** `/audit`, and over it one entry at `/audit/<id>`. */
export default function AuditPage() {
  const [parameters, change] = useParameters();
  const { rest } = useRoute();
  const value = (name: string) => parameters.get(name) ?? "";
  const range = value("range") || RANGE;
  const query = useMemo(
    () => read(new URLSearchParams(parameters.toString()), Date.now()),
    [parameters.toString()],
  );
  const audit = useAudit(query);
  const narrow = (patch: Record<string, string>) => change({ ...patch, page: "" });
  const isNarrowed = ["kind", "actor", "target"].some((name) => value(name) !== "");
  const actors = [...new Set(audit.data?.data.map(actorName))];
  return (
    <>
      <PageHeader title="Audit" actions={<Verify />}>
        Every change of what operators set: who, from where, before and after. Entries form a chain,
        so none can be altered or taken out unseen.
      </PageHeader>
      <Filters active={isNarrowed} onClear={() => narrow({ kind: "", actor: "", target: "" })}>
        <TimeRange
          label="Time"
          zone="local"
          value={range}
          onChange={(next) => narrow({ range: next })}
          presets={RANGES}
        />
        <Filter
          label="What"
          all="Everything"
          value={value("kind")}
          onChange={(kind) => narrow({ kind })}
          options={Object.entries(KINDS).map(([kind, label]) => ({ value: kind, label }))}
        />
        <Filter
          label="Who"
          all="Everybody"
          value={value("actor")}
          onChange={(actor) => narrow({ actor })}
          options={actors.map((actor) => ({ value: actor, label: actor }))}
        />
      </Filters>
      <Card flush>
        <DataTable
          dense
          label="the audit log"
          columns={COLUMNS}
          rows={audit.data?.data}
          rowKey={(entry) => String(entry.id)}
          href={(entry) => `/audit/${entry.id}${location.search}`}
          error={audit.error}
          onRetry={() => void audit.refetch()}
          server={{
            page: audit.data?.page ?? 1,
            pages: audit.data?.total_pages ?? 1,
            total: audit.data?.total_records ?? 0,
            totalIsCapped: audit.data?.total_is_capped ?? false,
            onPage: (page) => change({ page: page === 1 ? "" : String(page) }),
          }}
          empty={
            <EmptyState title={isNarrowed ? "Nothing matches" : "Nothing was changed yet"}>
              {!isNarrowed && "Every change from now on is written here in one step with it."}
            </EmptyState>
          }
        />
      </Card>
      {rest[0] && (
        <EntryPanel
          key={rest[0]}
          id={rest[0]}
          onClose={() => navigate(`/audit${location.search}`)}
        />
      )}
    </>
  );
}

function read(parameters: URLSearchParams, now: number): Query {
  const kind = parameters.get("kind");
  const span = bounds(parameters.get("range") ?? RANGE, "local", now);
  return {
    event: kind ? `agent_network.${kind}.*` : "",
    actor: parameters.get("actor"),
    target: parameters.get("target"),
    start_date: span?.start,
    end_date: span?.end,
    page: Math.max(1, Math.floor(Number(parameters.get("page"))) || 1),
    page_size: PAGE_SIZE,
  };
}
