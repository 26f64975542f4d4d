import { remove } from "@/api/http";
import { useChange } from "@/api/queries";
import type { Id, Peer } from "@/api/types";
import { Confirm } from "@/components/Dialog";
import { toast } from "@/components/Toast";

export function RemoveDialog({ peer, onClose }: { peer: Peer; onClose: () => void }) {
  const change = useChange((id: Id) => remove(`/peers/${id}`), "peers", "groups", "admission");
  return (
    <Confirm
      open
      onClose={onClose}
      title={`Remove ${peer.name}?`}
      action="Remove peer"
      busy={change.isPending}
      error={change.error?.message}
      onConfirm={() =>
        change.mutate(peer.id, {
          onSuccess: () => {
            toast(`${peer.name} is removed`);
            onClose();
          },
        })
      }
    >
      <p>
        It is kept out from now on, and its open connections are closed. Its usage and log stay.
      </p>
    </Confirm>
  );
}
