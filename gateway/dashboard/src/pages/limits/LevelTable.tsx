import type { UseQueryResult } from "@tanstack/react-query";
import type { ApiError } from "@/api/http";
import type { Level, LevelCap, Levels } from "@/api/types";
import { Badge } from "@/components/Badge";
import { Card } from "@/components/Card";
import { DataTable, type Column } from "@/components/DataTable";
import { SearchInput } from "@/components/Input";
import { Meter } from "@/components/Meter";
import { Notice } from "@/components/Notice";
import { EmptyState } from "@/components/States";
import { count, percent, plural, usd } from "@/format/number";
import { relative, windowLength } from "@/format/time";
import { Link, useParameter } from "@/shell/router";
import css from "./LevelTable.module.css";

/** Buckets, the fullest first. What requests in flight may need counts as spent until they have ended. */
export function LevelTable({ levels }: { levels: UseQueryResult<Levels, ApiError> }) {
  const [search, setSearch] = useParameter("q");
  const leftOut = levels.data?.left_out ?? 0;
  return (
    <Card
      flush
      title="How full the buckets are"
      actions={
        (levels.data?.limits.length ?? 0) > 0 && (
          <SearchInput label="Search users, groups, limits" value={search} onChange={setSearch} />
        )
      }
    >
      <DataTable
        label="limits"
        columns={COLUMNS}
        rows={levels.data?.limits}
        rowKey={(level) =>
          `${level.counts_for.kind} ${level.counts_for.id} ${level.unit} ${level.window_seconds}`
        }
        error={levels.error}
        onRetry={() => void levels.refetch()}
        pageSize="all"
        search={{
          value: search,
          text: (level) =>
            `${level.counts_for.name} ${level.counts_for.id} ${level.caps.map((cap) => cap.name).join(" ")}`,
        }}
        empty={
          <EmptyState title="Nothing is limited yet">
            Limits of policies, budget rules and providers show here how much of them is used.
          </EmptyState>
        }
      />
      {leftOut > 0 && (
        <div className={css.note}>
          <Notice tone="info">
            {plural(leftOut, "less full bucket")} left out: these are the fullest.
          </Notice>
        </div>
      )}
    </Card>
  );
}

const UNITS: Record<string, string> = {
  tokens: "tokens",
  usd: "budget",
  requests: "requests",
  in_flight: "at the same time",
};

/** "tokens in 1 day" */
function what({ unit, window_seconds }: Level): string {
  const name = UNITS[unit] ?? unit;
  return window_seconds > 0 ? `${name} in ${windowLength(window_seconds)}` : name;
}

const COLUMNS: Column<Level>[] = [
  {
    id: "who",
    header: "Counts for",
    sort: (level) => level.counts_for.name || level.counts_for.id,
    cell: (level) => (
      <span className={css.who}>
        <strong>{level.counts_for.name || level.counts_for.id}</strong>
        <span>
          {level.counts_for.kind} · {what(level)}
        </span>
      </span>
    ),
  },
  {
    id: "used",
    header: "Used",
    grow: true,
    sort: (level) => level.used_percent,
    cell: (level) => (
      <span className={css.used}>
        <Meter
          label={`${what(level)} of ${level.counts_for.name || level.counts_for.id}`}
          percent={level.used_percent}
        />
        <span>{percent(level.used_percent)}</span>
      </span>
    ),
  },
  {
    id: "spent",
    header: "Spent, of the least cap",
    align: "end",
    cell: (level) => (
      <span className={css.nowrap}>
        {spent(level)}{" "}
        <span className={css.quiet}>of {level.caps[0] ? cap(level.caps[0]) : "—"}</span>
      </span>
    ),
  },
  {
    id: "by",
    header: "Limited by",
    from: 900,
    cell: (level) => (
      <span className={css.caps}>
        {level.caps.slice(0, 2).map((one) => (
          <CapLink key={`${one.kind}${one.id}`} cap={one} />
        ))}
        {level.caps.length > 2 && <span className={css.quiet}>+{level.caps.length - 2}</span>}
      </span>
    ),
  },
  {
    id: "resets",
    header: "Counted anew",
    from: 640,
    sort: (level) => level.resets_at ?? "",
    cell: (level) => (
      <span className={css.nowrap} title={level.resets_at ?? undefined}>
        {level.resets_at ? relative(level.resets_at) : <span className={css.quiet}>in flight</span>}
      </span>
    ),
  },
];

const PAGES: Record<string, string> = {
  policy: "policies",
  budget_rule: "limits",
  provider: "providers",
};

function CapLink({ cap: one }: { cap: LevelCap }) {
  return (
    <span className={css.cap}>
      <Link href={`/${PAGES[one.kind] ?? "policies"}/${one.id}`}>{one.name}</Link>
      {one.mode === "hard" && <Badge tone="accent">hard</Badge>}
    </span>
  );
}

function spent(level: Level): string {
  return "spent_usd" in level ? usd(level.spent_usd) : count(level.spent);
}

function cap(one: LevelCap): string {
  return "cap_usd" in one ? usd(one.cap_usd) : count(one.cap);
}
