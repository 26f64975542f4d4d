import { Pencil, Trash2 } from "lucide-react";
import { useNames } from "@/api/names";
import type { Peer } from "@/api/types";
import { useAccessLog } from "@/api/usage";
import { Badge, Status } from "@/components/Badge";
import { IconButton } from "@/components/Button";
import { KeyValue } from "@/components/KeyValue";
import { Notice } from "@/components/Notice";
import { PanelSection, SidePanel } from "@/components/SidePanel";
import { EmptyState } from "@/components/States";
import { bytes, count } from "@/format/number";
import { dateTime, relative } from "@/format/time";
import { patched } from "@/shell/parameters";
import { Link, navigate } from "@/shell/router";
import { useWho } from "@/shell/session";
import type { Seen } from "./traffic";
import css from "./PeerPanel.module.css";
import { identityOf, principalOf, sourceOf } from "./words";

interface Props {
  peer: Peer | undefined;
  seen: Seen | undefined;
  onClose: () => void;
}

export function PeerPanel({ peer, seen, onClose }: Props) {
  const { mayChange } = useWho();
  if (!peer) {
    return (
      <SidePanel title="Peer" onClose={onClose}>
        <EmptyState title="There is no such peer">It was removed, or its source left.</EmptyState>
      </SidePanel>
    );
  }
  const to = (action: string) => () =>
    navigate(`/peers/${encodeURIComponent(peer.id)}/${action}${location.search}`);
  const source = sourceOf(peer);
  return (
    <SidePanel
      title={peer.name}
      lead={
        <>
          <Status tone={peer.let_in ? "ok" : "bad"}>{peer.let_in ? "Let in" : "Kept out"}</Status>
          <span>{identityOf(peer)}</span>
        </>
      }
      actions={
        mayChange &&
        source.editable && (
          <>
            <IconButton label="Edit the peer" onClick={to("edit")}>
              <Pencil />
            </IconButton>
            <IconButton label="Remove the peer" onClick={to("remove")}>
              <Trash2 />
            </IconButton>
          </>
        )
      }
      onClose={onClose}
    >
      {peer.reason && (
        <Notice
          tone={peer.let_in ? "warn" : "bad"}
          title={peer.let_in ? "Let in, but" : "Kept out"}
        >
          {peer.reason}
        </Notice>
      )}
      {!source.editable && <Notice tone="info">{source.why}</Notice>}
      <Identity peer={peer} />
      <PanelSection title="Activity">
        <Activity peer={peer} seen={seen} />
      </PanelSection>
    </SidePanel>
  );
}

function Identity({ peer }: { peer: Peer }) {
  const names = useNames();
  return (
    <PanelSection title="Identity">
      <KeyValue
        rows={[
          ["User", peer.user_email],
          ["User id", peer.user_id && <code key="user">{peer.user_id}</code>],
          ["Peer id", <code key="peer">{peer.id}</code>],
          [
            "Groups",
            peer.groups.length > 0 ? (
              <span key="groups" className={css.badges}>
                {peer.groups.map((id) => (
                  <Badge key={id}>{names.group(id)}</Badge>
                ))}
              </span>
            ) : (
              "None, so no policy reaches it"
            ),
          ],
          [
            "Addresses",
            peer.addresses.length > 0 ? (
              <code key="addresses">{peer.addresses.join(", ")}</code>
            ) : (
              "None yet"
            ),
          ],
          ["WireGuard key", peer.public_key && <code key="key">{peer.public_key}</code>],
          ["Source", sourceOf(peer).label],
          ["Read", peer.read_at ? `${relative(peer.read_at)} (${dateTime(peer.read_at)})` : null],
          ["Added", peer.created_at ? dateTime(peer.created_at) : null],
          ["Changed", peer.updated_at ? dateTime(peer.updated_at) : null],
        ]}
      />
    </PanelSection>
  );
}

/** From the kernel's counters, and from the log: the latter also where nothing is in front. */
function Activity({ peer, seen }: { peer: Peer; seen: Seen | undefined }) {
  const user = principalOf(peer);
  const last = useAccessLog({ user_id: user, page_size: 1 }).data?.data[0];
  const time = (text: string | undefined) =>
    text ? `${relative(text)} (${dateTime(text)})` : null;
  return (
    <>
      <KeyValue
        rows={[
          ["Last packet", time(seen?.lastSeen)],
          ["First packet", time(seen?.firstSeen)],
          [
            "Sent",
            seen
              ? `${bytes(seen.bytesIn)} in ${count(seen.packetsIn)} packets`
              : "Not counted here",
          ],
          [
            "Received",
            seen ? `${bytes(seen.bytesOut)} in ${count(seen.packetsOut)} packets` : null,
          ],
          [
            "Connections",
            seen ? `${count(seen.connections)} opened, ${count(seen.resets)} resets` : null,
          ],
          ["Last request", time(last?.timestamp) ?? "None in the log"],
        ]}
      />
      <p className={css.links}>
        <Link href={`/logs${patched("", { user })}`}>Requests</Link>
        <Link href={`/usage${patched("", { user })}`}>Usage</Link>
      </p>
    </>
  );
}
