import type { ApiError } from "@/api/http";
import { useProviderKeys } from "@/api/queries";
import type { CatalogEntry, Kind } from "@/api/types";
import { Combobox, type Option } from "@/components/Combobox";
import { Field } from "@/components/Field";
import { TextInput } from "@/components/Input";
import { Mark } from "@/components/Mark";
import { AdvancedFields } from "./AdvancedFields";
import type { Draft, Problems } from "./draft";
import { KeyField } from "./KeyField";
import { UrlField } from "./UrlField";

interface Props {
  entries: ReadonlyMap<string, CatalogEntry>;
  entry: CatalogEntry | undefined;
  draft: Draft | undefined;
  onPick: (id: string) => void;
  onChange: (draft: Draft) => void;
  problems: Problems;
  error: ApiError | null;
}

const GROUPS: Record<Kind, string> = {
  provider: "AI providers",
  gateway: "AI gateways",
  custom: "Custom",
};

/** What it is, where it is and what opens it. */
export function ProviderStep({ entries, entry, draft, onPick, onChange, problems, error }: Props) {
  const at = (field: string) => (error?.field === field ? error.message : undefined);
  const set = (change: Partial<Draft>) => draft && onChange({ ...draft, ...change });
  const keys = useProviderKeys(draft?.id);
  const stored = keys.data?.map((key) => key.fingerprint).join(", ");
  return (
    <>
      {!draft?.id && (
        <Field label="Provider" hint={entry?.description} error={at("provider_id")}>
          {(control) => (
            <Combobox
              control={control}
              label="Provider"
              options={options(entries)}
              value={entry?.id ?? ""}
              onChange={onPick}
              placeholder="Search providers, gateways and servers"
              autoFocus
            />
          )}
        </Field>
      )}
      {entry && draft && (
        <>
          <UrlField
            key={`url-${entry.id}`}
            entry={entry}
            value={draft.url}
            onChange={(url) => set({ url })}
            error={problems.url ?? at("upstream_url")}
          />
          <KeyField
            key={`key-${entry.id}`}
            entry={entry}
            stored={draft.id === undefined ? undefined : (stored ?? "")}
            onChange={(key) => set({ key })}
            error={problems.key ?? at("api_key")}
          />
          {(entry.extra_headers ?? []).map(({ name }) => (
            <Field
              key={name}
              label={name}
              optional
              hint="Sent as this header with every request"
              error={at(`extra_values.${name}`)}
            >
              {(control) => (
                <TextInput
                  {...control}
                  value={draft.extra[name] ?? ""}
                  onChange={(event) =>
                    set({ extra: { ...draft.extra, [name]: event.target.value } })
                  }
                />
              )}
            </Field>
          ))}
          <Field label="Display name" error={problems.name ?? at("name")}>
            {(control) => (
              <TextInput
                {...control}
                value={draft.name}
                onChange={(event) => set({ name: event.target.value })}
              />
            )}
          </Field>
          <AdvancedFields entry={entry} draft={draft} onChange={set} error={error} />
        </>
      )}
    </>
  );
}

function options(entries: ReadonlyMap<string, CatalogEntry>): Option[] {
  const kinds = Object.keys(GROUPS) as Kind[];
  return kinds.flatMap((kind) =>
    [...entries.values()]
      .filter((entry) => entry.kind === kind)
      .map((entry) => ({
        value: entry.id,
        label: entry.name,
        detail: entry.description,
        group: GROUPS[kind],
        icon: <Mark name={entry.name} color={entry.brand_color} size={22} />,
      })),
  );
}
