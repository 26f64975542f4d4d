import type { UseQueryResult } from "@tanstack/react-query";
import { Users } from "lucide-react";
import { useMemo } from "react";
import type { ApiError } from "@/api/http";
import { usePolicies } from "@/api/queries";
import type { Named, Peer } from "@/api/types";
import { Card } from "@/components/Card";
import { DataTable, type Column } from "@/components/DataTable";
import { EmptyState } from "@/components/States";
import { count } from "@/format/number";
import { Link } from "@/shell/router";
import css from "./GroupTable.module.css";
import { groupRows, type GroupRow } from "./traffic";

/** What policies name callers by. */
export function GroupTable({
  groups,
  peers,
}: {
  groups: UseQueryResult<Named[], ApiError>;
  peers: readonly Peer[];
}) {
  const policies = usePolicies();
  const rows = useMemo(() => groups.data && groupRows(groups.data, peers), [groups.data, peers]);
  const columns = useMemo<Column<GroupRow>[]>(
    () => [
      {
        id: "name",
        header: "Group",
        cell: (row) => (
          <span className={css.name}>
            {row.name}
            {row.name !== row.id && <small>{row.id}</small>}
          </span>
        ),
        sort: (row) => row.name,
        name: true,
        grow: true,
      },
      {
        id: "policies",
        header: "Policies",
        cell: (row) => {
          const named = (policies.data ?? []).filter(({ source_groups }) =>
            source_groups?.includes(row.id),
          );
          if (named.length === 0) return <span className={css.none}>none names it</span>;
          return (
            <span className={css.policies}>
              {named.map(({ id, name }) => (
                <Link key={id} href={`/policies/${encodeURIComponent(id)}`}>
                  {name}
                </Link>
              ))}
            </span>
          );
        },
        from: 640,
      },
      {
        id: "peers",
        header: "Peers",
        cell: (row) => count(row.peers),
        sort: (row) => row.peers,
        align: "end",
      },
      {
        id: "let_in",
        header: "Let in",
        cell: (row) => count(row.letIn),
        sort: (row) => row.letIn,
        align: "end",
        from: 480,
      },
    ],
    [policies.data],
  );
  return (
    <Card flush>
      <DataTable
        label="the groups"
        columns={columns}
        rows={rows}
        rowKey={(row) => row.id}
        href={(row) => `/peers?group=${encodeURIComponent(row.id)}`}
        error={groups.error}
        onRetry={() => void groups.refetch()}
        sortedBy={{ id: "name", desc: false }}
        pageSize="all"
        dense
        empty={
          <EmptyState icon={<Users />} title="No groups yet">
            A group exists once a peer or a policy names it.
          </EmptyState>
        }
      />
    </Card>
  );
}
