import type { UseQueryResult } from "@tanstack/react-query";
import { Network } from "lucide-react";
import { useMemo } from "react";
import type { ApiError } from "@/api/http";
import type { Named, Peer } from "@/api/types";
import { Badge, Status } from "@/components/Badge";
import { Card } from "@/components/Card";
import { DataTable, type Column } from "@/components/DataTable";
import { Filter, Filters } from "@/components/Filters";
import { SearchInput } from "@/components/Input";
import { EmptyState } from "@/components/States";
import { bytes } from "@/format/number";
import { dateTime, relative } from "@/format/time";
import { useParameters } from "@/shell/parameters";
import css from "./PeerTable.module.css";
import type { SeenBy } from "./traffic";
import { identityOf, sourceOf } from "./words";

interface Props {
  peers: UseQueryResult<Peer[], ApiError>;
  groups: readonly Named[];
  seen: SeenBy;
  /** The kernel counts, so a peer without counters has sent nothing. */
  isCounted: boolean;
}

export function PeerTable({ peers, groups, seen, isCounted }: Props) {
  const [parameters, change] = useParameters();
  const search = parameters.get("q") ?? "";
  const group = parameters.get("group") ?? "";
  const state = parameters.get("state") ?? "";
  const names = useMemo(() => new Map(groups.map(({ id, name }) => [id, name])), [groups]);
  const columns = useMemo(() => peerColumns(names, seen, isCounted), [names, seen, isCounted]);
  const rows = useMemo(
    () =>
      peers.data?.filter(
        (peer) =>
          (group === "" || peer.groups.includes(group)) &&
          (state === "" || peer.let_in === (state === "let_in")),
      ),
    [peers.data, group, state],
  );
  const isNarrowed = group !== "" || state !== "";
  return (
    <>
      <Filters
        active={isNarrowed || search !== ""}
        onClear={() => change({ q: "", group: "", state: "" })}
      >
        <div className={css.search}>
          <SearchInput
            label="Search peers"
            placeholder="Name, address, user…"
            value={search}
            onChange={(q) => change({ q })}
          />
        </div>
        <Filter
          label="Group"
          all="All groups"
          value={group}
          onChange={(next) => change({ group: next })}
          options={groups.map(({ id, name }) => ({ value: id, label: name }))}
        />
        <Filter
          label="State"
          all="Any state"
          value={state}
          onChange={(next) => change({ state: next })}
          options={[
            { value: "let_in", label: "Let in" },
            { value: "kept_out", label: "Kept out" },
          ]}
        />
      </Filters>
      <Card flush>
        <DataTable
          label="the peers"
          columns={columns}
          rows={rows}
          rowKey={(peer) => peer.id}
          href={(peer) => `/peers/${encodeURIComponent(peer.id)}${location.search}`}
          error={peers.error}
          onRetry={() => void peers.refetch()}
          search={{ value: search, text: searchText }}
          pageSize="all"
          dense
          empty={<NoPeers isNarrowed={isNarrowed} />}
        />
      </Card>
    </>
  );
}

function searchText(peer: Peer): string {
  return [peer.name, ...peer.addresses, peer.user_email, peer.user_id, peer.id].join(" ");
}

function peerColumns(
  names: ReadonlyMap<string, string>,
  seen: SeenBy,
  isCounted: boolean,
): Column<Peer>[] {
  return [
    {
      id: "name",
      header: "Peer",
      cell: (peer) => (
        <span className={css.two}>
          <span>{peer.name}</span>
          <small>{identityOf(peer)}</small>
        </span>
      ),
      sort: (peer) => peer.name,
      name: true,
      grow: true,
    },
    {
      id: "state",
      header: "State",
      cell: (peer) => (
        <span className={css.state}>
          <Status tone={peer.let_in ? (peer.reason ? "warn" : "ok") : "bad"}>
            {peer.let_in ? "Let in" : "Kept out"}
          </Status>
          {peer.reason && <small title={peer.reason}>{peer.reason}</small>}
        </span>
      ),
      sort: (peer) => (peer.let_in ? 1 : 0),
    },
    {
      id: "groups",
      header: "Groups",
      cell: (peer) => <GroupBadges ids={peer.groups} names={names} />,
      sort: (peer) => peer.groups.length,
      from: 900,
    },
    {
      id: "addresses",
      header: "Addresses",
      cell: ({ addresses }) => (
        <span className={css.two}>
          <code title={addresses.join(", ")}>{addresses[0] ?? "none"}</code>
          {addresses.length > 1 && <small>and {addresses.length - 1} more</small>}
        </span>
      ),
      sort: (peer) => peer.addresses[0] ?? "",
      from: 640,
    },
    {
      id: "source",
      header: "Source",
      cell: (peer) => <span className={css.seen}>{sourceOf(peer).label}</span>,
      sort: (peer) => peer.source,
      from: 1200,
    },
    {
      id: "traffic",
      header: "In / out",
      cell: (peer) => {
        const counted = seen.get(peer.id);
        return counted ? `${bytes(counted.bytesIn)} / ${bytes(counted.bytesOut)}` : "–";
      },
      sort: (peer) => {
        const counted = seen.get(peer.id);
        return counted ? counted.bytesIn + counted.bytesOut : -1;
      },
      align: "end",
      from: 1200,
    },
    {
      id: "seen",
      header: "Last seen",
      cell: (peer) => <LastSeen time={seen.get(peer.id)?.lastSeen} isCounted={isCounted} />,
      sort: (peer) => seen.get(peer.id)?.lastSeen ?? "",
      align: "end",
      from: 480,
    },
  ];
}

function LastSeen({ time, isCounted }: { time: string | undefined; isCounted: boolean }) {
  if (time) {
    return (
      <time dateTime={time} title={dateTime(time)} className={css.seen}>
        {relative(time)}
      </time>
    );
  }
  return (
    <span
      className={css.none}
      title={isCounted ? "No packet from it was counted" : "The kernel counts nothing here"}
    >
      {isCounted ? "never" : "–"}
    </span>
  );
}

const BADGES_SHOWN = 2;

function GroupBadges({
  ids,
  names,
}: {
  ids: readonly string[];
  names: ReadonlyMap<string, string>;
}) {
  if (ids.length === 0) return <span className={css.none}>none</span>;
  return (
    <span className={css.badges} title={ids.map((id) => names.get(id) ?? id).join(", ")}>
      {ids.slice(0, BADGES_SHOWN).map((id) => (
        <Badge key={id}>{names.get(id) ?? id}</Badge>
      ))}
      {ids.length > BADGES_SHOWN && <small>+{ids.length - BADGES_SHOWN}</small>}
    </span>
  );
}

function NoPeers({ isNarrowed }: { isNarrowed: boolean }) {
  if (isNarrowed) return <EmptyState icon={<Network />} title="Nothing matches" />;
  return (
    <EmptyState icon={<Network />} title="No peers yet">
      Nobody can reach the endpoint. Add peers by their overlay addresses here, or have the node
      read them from NetBird with identity.source in its configuration.
    </EmptyState>
  );
}
