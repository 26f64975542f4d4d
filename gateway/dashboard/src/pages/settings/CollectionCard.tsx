import { useEffect, useState } from "react";
import { getTagged, put, type ApiError, type Tagged } from "@/api/http";
import { useQuery } from "@tanstack/react-query";
import { useChange } from "@/api/queries";
import type { Settings } from "@/api/types";
import { Button } from "@/components/Button";
import { Card } from "@/components/Card";
import { Field } from "@/components/Field";
import { NumberInput, Select } from "@/components/Input";
import { Notice } from "@/components/Notice";
import { ErrorState, Skeleton } from "@/components/States";
import { Switch } from "@/components/Switch";
import { toast } from "@/components/Toast";
import { useWho } from "@/shell/session";
import { changed, isFuller, type Collection } from "./collection";
import css from "./settings.module.css";

interface Change {
  settings: Tagged<Settings>;
  collection: Collection;
}

const store = ({ settings: { value, etag }, collection }: Change) =>
  put<Settings>("/settings", { ...value, ...collection }, { ifMatch: etag });

/** What the node keeps of requests, and for how long. */
export function CollectionCard() {
  const settings = useQuery<Tagged<Settings>, ApiError>({
    queryKey: ["settings", "tagged"],
    queryFn: ({ signal }) => getTagged("/settings", { signal }),
    staleTime: 0,
    refetchOnWindowFocus: false,
  });
  return (
    <Card title="What is kept of requests">
      {settings.error && !settings.data && (
        <ErrorState
          error={settings.error}
          what="the settings"
          onRetry={() => void settings.refetch()}
        />
      )}
      {settings.isPending && <Skeleton lines={8} />}
      {settings.data &&
        (settings.data.value.endpoint ? (
          <Form settings={settings.data} />
        ) : (
          <p className={css.text}>
            This can be changed once the endpoint has its name, which comes with the first provider.
          </p>
        ))}
    </Card>
  );
}

function Form({ settings }: { settings: Tagged<Settings> }) {
  const { mayChange } = useWho();
  const [draft, setDraft] = useState<Collection>(settings.value);
  const change = useChange(store, "settings");
  useEffect(() => setDraft(settings.value), [settings]);
  const edit = (patch: Partial<Collection>) => setDraft({ ...draft, ...patch });
  const differs = changed(settings.value, draft);
  const { error } = change;
  return (
    <form
      className={css.form}
      onSubmit={(event) => {
        event.preventDefault();
        change.mutate(
          { settings, collection: collectionOf(draft) },
          { onSuccess: () => toast("Settings are saved") },
        );
      }}
    >
      {error && (
        <Notice
          tone="bad"
          title={error.status === 412 ? "Somebody changed them meanwhile" : undefined}
        >
          {error.message}
        </Notice>
      )}
      <Switch
        label="Log every request"
        hint="One row per request: who, what, how long, how much. Without it only sums of usage are kept, and limits hold all the same."
        disabled={!mayChange}
        checked={draft.enable_log_collection}
        onChange={(enable_log_collection) => edit({ enable_log_collection })}
      />
      <Days
        label="Keep rows for"
        hint="Older rows are deleted. Sums of usage stay."
        endless="Without end"
        days={draft.access_log_retention_days}
        disabled={!mayChange || !draft.enable_log_collection}
        error={error?.field === "access_log_retention_days" ? error.message : undefined}
        onChange={(access_log_retention_days) => edit({ access_log_retention_days })}
      />
      <Switch
        label="Keep prompts and answers"
        hint="Of logged requests whose policy has a guardrail that captures prompts. Sealed with the master key; owners and admins can read them."
        disabled={!mayChange}
        checked={draft.enable_prompt_collection}
        onChange={(enable_prompt_collection) => edit({ enable_prompt_collection })}
      />
      <Days
        label="Keep texts for"
        hint="Never longer than the row that they belong to."
        endless="As long as their row"
        days={draft.prompt_retention_days}
        disabled={!mayChange || !draft.enable_prompt_collection}
        error={error?.field === "prompt_retention_days" ? error.message : undefined}
        onChange={(prompt_retention_days) => edit({ prompt_retention_days })}
      />
      <Switch
        label="Redact personal data in texts"
        hint="Keys, e-mail addresses, phone and card numbers and the like are replaced before anything is kept. What goes to the provider is not touched."
        disabled={!mayChange}
        checked={draft.redact_pii}
        onChange={(redact_pii) => edit({ redact_pii })}
      />
      {isFuller(settings.value, draft) && (
        <Notice tone="warn" title="Texts of people will be kept">
          Tell those who use the endpoint, where that is their right.
        </Notice>
      )}
      {mayChange && (
        <div className={css.row}>
          <Button look="primary" type="submit" busy={change.isPending} disabled={!differs}>
            Save
          </Button>
          {differs && <Button onClick={() => setDraft(settings.value)}>Discard</Button>}
        </div>
      )}
    </form>
  );
}

function collectionOf(draft: Collection): Collection {
  return {
    enable_log_collection: draft.enable_log_collection,
    enable_prompt_collection: draft.enable_prompt_collection,
    redact_pii: draft.redact_pii,
    access_log_retention_days: draft.access_log_retention_days,
    prompt_retention_days: draft.prompt_retention_days,
  };
}

const USUAL = [7, 14, 30, 60, 90, 365];
const OWN = "own";

interface DaysProps {
  label: string;
  hint: string;
  /** What no end is called. */
  endless: string;
  days: number;
  disabled: boolean;
  error: string | undefined;
  onChange: (days: number) => void;
}

/** A usual number of days, one's own, or no end. */
function Days({ label, hint, endless, days, disabled, error, onChange }: DaysProps) {
  const [own, setOwn] = useState(days > 0 && !USUAL.includes(days));
  const value = own ? OWN : days <= 0 ? "0" : String(days);
  return (
    <Field label={label} hint={hint} error={error} className={css.days ?? ""}>
      {(control) => (
        <>
          <Select
            {...control}
            disabled={disabled}
            value={value}
            onChange={(next) => {
              setOwn(next === OWN);
              if (next !== OWN) onChange(Number(next));
            }}
            options={[
              ...USUAL.map((many) => ({ value: String(many), label: `${many} days` })),
              { value: "0", label: endless },
              { value: OWN, label: "Other…" },
            ]}
          />
          {own && (
            <NumberInput
              aria-label={`${label}, in days`}
              disabled={disabled}
              unit="days"
              value={days > 0 ? days : undefined}
              onChange={(next) => onChange(Math.floor(next ?? 0))}
            />
          )}
        </>
      )}
    </Field>
  );
}
