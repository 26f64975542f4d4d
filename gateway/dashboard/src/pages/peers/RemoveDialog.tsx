import { remove } from "@/api/http";
import { useChange } from "@/api/queries";
import type { Id, Peer } from "@/api/types";
import { Confirm } from "@/components/Dialog";
import { toast } from "@/components/Toast";

export function RemoveDialog({ peer, onClose }: { peer: Peer; onClose: () => void }) {
  // Closed before the peers are read again: without the peer there is nothing to draw this for.
  const removal = async (id: Id) => {
    await remove(`/peers/${id}`);
    toast(`${peer.name} is removed`);
    onClose();
  };
  const change = useChange(removal, "peers", "groups", "admission");
  return (
    <Confirm
      open
      onClose={onClose}
      title={`Remove ${peer.name}?`}
      action="Remove peer"
      busy={change.isPending}
      error={change.error?.message}
      onConfirm={() => change.mutate(peer.id)}
    >
      <p>
        It is kept out from now on, and its open connections are closed. Its usage and log stay.
      </p>
    </Confirm>
  );
}
