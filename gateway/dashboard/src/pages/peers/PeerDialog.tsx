import { useEffect, useState } from "react";
import { post, put } from "@/api/http";
import { useChange, useGroups, useTagged } from "@/api/queries";
import type { Id, Peer } from "@/api/types";
import { Button } from "@/components/Button";
import { Dialog } from "@/components/Dialog";
import { Field } from "@/components/Field";
import { TextInput } from "@/components/Input";
import { MultiSelect } from "@/components/MultiSelect";
import { Notice } from "@/components/Notice";
import { Segmented } from "@/components/Segmented";
import { ErrorState, Skeleton } from "@/components/States";
import { Switch } from "@/components/Switch";
import { toast } from "@/components/Toast";
import { draftOf, EMPTY, requestFrom, type Draft, type PeerRequest } from "./draft";

interface Change {
  id: Id | undefined;
  body: PeerRequest;
  etag: string | null;
}

const store = ({ id, body, etag }: Change) =>
  id === undefined
    ? post<Peer>("/peers", body)
    : put<Peer>(`/peers/${id}`, body, { ifMatch: etag });

/** Adds a peer, or changes one of the node's own. */
export function PeerDialog({ id, onClose }: { id?: Id; onClose: () => void }) {
  const tagged = useTagged<Peer>("peers", id);
  const [draft, setDraft] = useState<Draft | null>(id === undefined ? EMPTY : null);
  const change = useChange(store, "peers", "groups", "admission");
  useEffect(() => {
    if (tagged.data && !draft) setDraft(draftOf(tagged.data.value));
  }, [tagged.data, draft]);

  const submit = () => {
    if (!draft) return;
    change.mutate(
      { id, body: requestFrom(draft), etag: tagged.data?.etag ?? null },
      {
        onSuccess: (peer) => {
          toast(id === undefined ? `${peer.name} is let in` : `${peer.name} is changed`);
          onClose();
        },
      },
    );
  };
  const { error } = change;
  const at = (field: string) => (error?.field?.startsWith(field) ? error.message : undefined);
  const isAtField = ["name", "addresses", "public_key", "user_id", "user_email", "groups"].some(at);
  return (
    <Dialog
      open
      keepOnOutsideClick
      onClose={onClose}
      title={id === undefined ? "Add a peer" : "Edit the peer"}
      description="Whoever sends from its overlay address is it; the tunnel has proved that."
      onSubmit={submit}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button
            look="primary"
            type="submit"
            busy={change.isPending}
            disabled={!draft?.name.trim()}
          >
            {id === undefined ? "Add peer" : "Save"}
          </Button>
        </>
      }
    >
      {error && !isAtField && (
        <Notice
          tone="bad"
          title={error.status === 412 ? "Somebody changed it meanwhile" : undefined}
        >
          {error.message}
        </Notice>
      )}
      {tagged.error && (
        <ErrorState error={tagged.error} what="this peer" onRetry={() => void tagged.refetch()} />
      )}
      {!draft && !tagged.error && <Skeleton lines={6} />}
      {draft && <Fields draft={draft} set={setDraft} at={at} />}
    </Dialog>
  );
}

interface FieldsProps {
  draft: Draft;
  set: (draft: Draft) => void;
  at: (field: string) => string | undefined;
}

function Fields({ draft, set, at }: FieldsProps) {
  const groups = useGroups();
  const edit = (patch: Partial<Draft>) => set({ ...draft, ...patch });
  return (
    <>
      <Field label="Name" required error={at("name")}>
        {(control) => (
          <TextInput
            {...control}
            autoFocus
            value={draft.name}
            onChange={({ target }) => edit({ name: target.value })}
          />
        )}
      </Field>
      <div>
        <Segmented
          label="Known by"
          value={draft.by}
          onChange={(by) => edit({ by })}
          options={[
            { value: "addresses", label: "Addresses" },
            { value: "key", label: "WireGuard key" },
          ]}
        />
      </div>
      {draft.by === "addresses" ? (
        <Field
          label="Overlay addresses"
          required
          hint="IPv4 or IPv6, without a prefix length. Enter adds one."
          error={at("addresses")}
        >
          {(control) => (
            <MultiSelect
              control={control}
              label="Overlay addresses"
              options={[]}
              free
              values={draft.addresses}
              onChange={(addresses) => edit({ addresses })}
              placeholder="100.92.14.7"
            />
          )}
        </Field>
      ) : (
        <Field
          label="Public key"
          required
          hint="As wg show prints it. The device knows its addresses."
          error={at("public_key")}
        >
          {(control) => (
            <TextInput
              {...control}
              value={draft.publicKey}
              onChange={({ target }) => edit({ publicKey: target.value })}
            />
          )}
        </Field>
      )}
      <Field
        label="Groups"
        optional
        hint="Policies name groups; a new name makes a new group."
        error={at("groups")}
      >
        {(control) => (
          <MultiSelect
            control={control}
            label="Groups"
            free
            options={(groups.data ?? []).map(({ id, name }) => ({ value: id, label: name }))}
            values={draft.groups}
            onChange={(next) => edit({ groups: next })}
          />
        )}
      </Field>
      <Field
        label="User id"
        optional
        hint="Peers of one user share limits and usage. Without it the peer is a user of its own."
        error={at("user_id")}
      >
        {(control) => (
          <TextInput
            {...control}
            value={draft.userId}
            onChange={({ target }) => edit({ userId: target.value })}
          />
        )}
      </Field>
      <Field label="User’s e-mail" optional error={at("user_email")}>
        {(control) => (
          <TextInput
            {...control}
            inputMode="email"
            value={draft.email}
            onChange={({ target }) => edit({ email: target.value })}
          />
        )}
      </Field>
      <Switch
        label="Blocked"
        hint="Kept out, and connections that are open are closed."
        checked={draft.blocked}
        onChange={(blocked) => edit({ blocked })}
      />
    </>
  );
}
