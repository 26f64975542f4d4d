import { Plus } from "lucide-react";
import { useMemo } from "react";
import { useAdmissionPeers } from "@/api/node";
import { useGroups, usePeers } from "@/api/queries";
import { Button } from "@/components/Button";
import { PageHeader } from "@/components/PageHeader";
import { Tabs } from "@/components/Tabs";
import { count } from "@/format/number";
import { useParameters } from "@/shell/parameters";
import { navigate, useRoute } from "@/shell/router";
import { useWho } from "@/shell/session";
import { GroupTable } from "./GroupTable";
import { PeerDialog } from "./PeerDialog";
import { PeerPanel } from "./PeerPanel";
import { PeerTable } from "./PeerTable";
import { RemoveDialog } from "./RemoveDialog";
import { byPeer } from "./traffic";
import { sourceOf } from "./words";

/** `/peers`, and over it `/new`, `/<id>`, `/<id>/edit` and `/<id>/remove`. */
export default function PeersPage() {
  const who = useWho();
  const peers = usePeers();
  const groups = useGroups();
  const traffic = useAdmissionPeers();
  const [parameters, change] = useParameters();
  const seen = useMemo(() => byPeer(traffic.data ?? []), [traffic.data]);
  return (
    <>
      <PageHeader
        title="Peers"
        actions={
          who.mayChange && (
            <Button
              look="primary"
              icon={<Plus />}
              onClick={() => navigate(`/peers/new${location.search}`)}
            >
              Add peer
            </Button>
          )
        }
      >
        Who may reach the endpoint: the tunnel’s address says who it is, so agents need no key.
      </PageHeader>
      <Tabs
        label="Peers and groups"
        value={parameters.get("tab") === "groups" ? "groups" : "peers"}
        onChange={(tab) => change({ tab: tab === "groups" ? tab : "" })}
        tabs={[
          {
            value: "peers",
            label: `Peers${peers.data ? ` ${count(peers.data.length)}` : ""}`,
            content: (
              <PeerTable
                peers={peers}
                groups={groups.data ?? []}
                seen={seen}
                isCounted={(traffic.data?.length ?? 0) > 0}
              />
            ),
          },
          {
            value: "groups",
            label: `Groups${groups.data ? ` ${count(groups.data.length)}` : ""}`,
            content: <GroupTable groups={groups} peers={peers.data ?? []} />,
          },
        ]}
      />
      <Opened seen={seen} />
    </>
  );
}

function Opened({ seen }: { seen: ReturnType<typeof byPeer> }) {
  const { rest } = useRoute();
  const peers = usePeers();
  const { mayChange } = useWho();
  const [id, action] = rest;
  const close = () => navigate(`/peers${location.search}`);
  if (id === undefined || !peers.data) return null;
  if (id === "new") return mayChange ? <PeerDialog onClose={close} /> : null;
  const peer = peers.data.find((one) => one.id === id);
  const isEditable = peer !== undefined && mayChange && sourceOf(peer).editable;
  if (isEditable && action === "edit") return <PeerDialog key={id} id={id} onClose={close} />;
  if (isEditable && action === "remove") return <RemoveDialog peer={peer} onClose={close} />;
  return <PeerPanel peer={peer} seen={seen.get(id)} onClose={close} />;
}
