import type { ApiError } from "@/api/http";
import type { CatalogEntry } from "@/api/types";
import { Field } from "@/components/Field";
import { TextInput } from "@/components/Input";
import { KeyValue } from "@/components/KeyValue";
import { Switch } from "@/components/Switch";
import { identityNames, type Draft } from "./draft";

interface Props {
  entry: CatalogEntry;
  draft: Draft;
  onChange: (draft: Draft) => void;
  error: ApiError | null;
}

/** How the upstream is told who calls, in the form that the catalog says it understands. */
export function MappingsStep({ entry, draft, onChange, error }: Props) {
  const { header_pair: pair, json_metadata: json, body } = entry.identity_injection ?? {};
  const isOwn = pair?.customizable ?? json?.customizable ?? false;
  const usual = identityNames(entry);
  const at = (field: string) => (error?.field === field ? error.message : undefined);
  const what = json ? "Key" : "Header";
  return (
    <>
      <Switch
        label={`Tell ${entry.name} who calls`}
        hint="With every request: the caller's user and groups, as the overlay knows them. What an agent itself sends there is replaced."
        checked={draft.tellsIdentity}
        onChange={(tellsIdentity) => onChange({ ...draft, tellsIdentity })}
      />
      {draft.tellsIdentity && isOwn && (
        <>
          <Field
            label={`${what} for the user`}
            hint={`Empty means ${usual.userName}`}
            error={at("identity_header_user_id")}
          >
            {(control) => (
              <TextInput
                {...control}
                value={draft.userName}
                onChange={(event) => onChange({ ...draft, userName: event.target.value })}
              />
            )}
          </Field>
          <Field
            label={`${what} for the groups`}
            hint={`Empty means ${usual.groupsName}`}
            error={at("identity_header_groups")}
          >
            {(control) => (
              <TextInput
                {...control}
                value={draft.groupsName}
                onChange={(event) => onChange({ ...draft, groupsName: event.target.value })}
              />
            )}
          </Field>
        </>
      )}
      {draft.tellsIdentity && (
        <KeyValue
          rows={[
            [
              "User",
              isOwn || !usual.userName ? null : <code>{place(json?.header, usual.userName)}</code>,
            ],
            [
              "Groups",
              isOwn || !usual.groupsName ? null : (
                <code>{place(json?.header, usual.groupsName)}</code>
              ),
            ],
            ["Metadata header", isOwn && json ? <code>{json.header}</code> : null],
            ["User, in the body", body?.user ? <code>user</code> : null],
            ["Groups, in the body", body?.tags ? <code>metadata.tags</code> : null],
          ]}
        />
      )}
    </>
  );
}

function place(header: string | undefined, name: string): string {
  return header ? `${header}: {"${name}": …}` : `${name}: …`;
}
