import { useState } from "react";
import type { CreatedToken, Role, TokenRequest } from "@/api/node";
import { post } from "@/api/http";
import { useChange } from "@/api/queries";
import { Button } from "@/components/Button";
import { CodeBlock } from "@/components/CodeBlock";
import { Dialog } from "@/components/Dialog";
import { Field } from "@/components/Field";
import { Select, TextInput } from "@/components/Input";
import { Notice } from "@/components/Notice";

const ROLES: readonly { value: Role; label: string }[] = [
  { value: "auditor", label: "Auditor: reads, except prompts and answers" },
  { value: "admin", label: "Admin: everything but tokens, the master key and the store" },
  { value: "owner", label: "Owner: everything" },
  { value: "metrics", label: "Metrics: reads how the node does" },
];

const EXPIRIES = [
  { value: "30", label: "In 30 days" },
  { value: "90", label: "In 90 days" },
  { value: "365", label: "In a year" },
  { value: "", label: "Never" },
] as const;
type Expiry = (typeof EXPIRIES)[number]["value"];

const create = (body: TokenRequest) => post<CreatedToken>("/tokens", body);

/** The token is shown once; the node only keeps its hash. */
export function TokenDialog({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("auditor");
  const [expiry, setExpiry] = useState<Expiry>("90");
  const change = useChange(create, "tokens", "audit");
  if (change.data) return <Created token={change.data} onClose={onClose} />;
  const { error } = change;
  const submit = () =>
    change.mutate({
      name: name.trim(),
      role,
      ...(expiry ? { expires_in_days: Number(expiry) } : {}),
    });
  return (
    <Dialog
      open
      size="s"
      keepOnOutsideClick
      onClose={onClose}
      title="Make a token"
      onSubmit={submit}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button look="primary" type="submit" busy={change.isPending} disabled={!name.trim()}>
            Make token
          </Button>
        </>
      }
    >
      {error && !error.field && <Notice tone="bad">{error.message}</Notice>}
      <Field
        label="Name"
        required
        hint="What uses it, so that it can be found again."
        error={error?.field === "name" ? error.message : undefined}
      >
        {(control) => (
          <TextInput
            {...control}
            autoFocus
            value={name}
            onChange={({ target }) => setName(target.value)}
          />
        )}
      </Field>
      <Field label="Role" error={error?.field === "role" ? error.message : undefined}>
        {(control) => <Select {...control} value={role} onChange={setRole} options={ROLES} />}
      </Field>
      <Field label="Expires" error={error?.field === "expires_in_days" ? error.message : undefined}>
        {(control) => (
          <Select {...control} value={expiry} onChange={setExpiry} options={EXPIRIES} />
        )}
      </Field>
    </Dialog>
  );
}

function Created({ token, onClose }: { token: CreatedToken; onClose: () => void }) {
  return (
    <Dialog
      open
      size="s"
      keepOnOutsideClick
      onClose={onClose}
      title={`${token.name} is made`}
      footer={
        <Button look="primary" onClick={onClose}>
          I have it
        </Button>
      }
    >
      <Notice tone="warn" title="This is the only time it is shown">
        Put it where it is needed now. If it is lost, make another one.
      </Notice>
      <CodeBlock title="Token" code={token.token} />
    </Dialog>
  );
}
