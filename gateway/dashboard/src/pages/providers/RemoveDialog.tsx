import { providers as change } from "@/api/changes";
import { useChange } from "@/api/queries";
import type { Policy, Provider } from "@/api/types";
import { Button } from "@/components/Button";
import { Confirm, Dialog } from "@/components/Dialog";
import { toast } from "@/components/Toast";
import { Link } from "@/shell/router";
import css from "./RemoveDialog.module.css";

interface Props {
  provider: Provider;
  policies: readonly Policy[];
  onClose: () => void;
}

/** Removes a provider, or says which policies have to let go of it first. */
export function RemoveDialog({ provider, policies, onClose }: Props) {
  const remove = useChange(change.remove, "providers", "status");
  const users = policies.filter((policy) => policy.destination_provider_ids.includes(provider.id));
  if (users.length > 0) {
    return (
      <Dialog
        open
        onClose={onClose}
        size="s"
        title={`${provider.name} is in use`}
        footer={<Button onClick={onClose}>Close</Button>}
      >
        <p>Take it out of these policies first, or disable the provider instead:</p>
        <ul className={css.list}>
          {users.map((policy) => (
            <li key={policy.id}>
              <Link href={`/policies/${policy.id}`}>{policy.name}</Link>
            </li>
          ))}
        </ul>
      </Dialog>
    );
  }
  return (
    <Confirm
      open
      onClose={onClose}
      title={`Remove ${provider.name}?`}
      action="Remove provider"
      busy={remove.isPending}
      error={remove.error?.message}
      onConfirm={() =>
        remove.mutate(provider.id, {
          onSuccess: () => {
            toast(`${provider.name} is removed`);
            onClose();
          },
        })
      }
    >
      <p>
        Its key is deleted from this node, and connections that carry it are closed. Its usage and
        log stay.
      </p>
    </Confirm>
  );
}
