import { useState } from "react";
import { policies as change } from "@/api/changes";
import type { ApiError } from "@/api/http";
import {
  useCatalog,
  useChange,
  useGroups,
  useGuardrails,
  useProviders,
  useTagged,
} from "@/api/queries";
import type { Policy, PolicyRequest } from "@/api/types";
import { Button } from "@/components/Button";
import { Dialog } from "@/components/Dialog";
import { Field } from "@/components/Field";
import { TextInput } from "@/components/Input";
import { Mark } from "@/components/Mark";
import { MultiSelect } from "@/components/MultiSelect";
import { Notice } from "@/components/Notice";
import { Tabs } from "@/components/Tabs";
import { toast } from "@/components/Toast";
import { editable, noLimits } from "../limits/limits";
import { LimitsFields } from "../limits/LimitsFields";
import css from "./PolicyDialog.module.css";

type Tab = "access" | "limits" | "guardrails";

interface Draft {
  name: string;
  description: string;
  source_groups: string[];
  destination_provider_ids: string[];
  guardrail_ids: string[];
  limits: Policy["limits"];
  allowed_paths: string[];
}

/** Who reaches what, under which limits and guardrails. */
export function PolicyDialog({ policy, onClose }: { policy?: Policy; onClose: () => void }) {
  const stored = useTagged<Policy>("policies", policy?.id);
  const [draft, setDraft] = useState<Draft>(() => draftOf(policy));
  const [tab, setTab] = useState<Tab>("access");
  const [isTried, setTried] = useState(false);
  const save = useChange(
    (body: PolicyRequest) =>
      policy
        ? change.update({ id: policy.id, body, ifMatch: stored.data?.etag ?? null })
        : change.create(body),
    "policies",
    "groups",
    "limits",
  );
  const set = (next: Partial<Draft>) => setDraft({ ...draft, ...next });
  const wanting = {
    name: draft.name.trim() ? undefined : "A name to tell it from others",
    groups: draft.source_groups.length > 0 ? undefined : "At least one group",
    providers: draft.destination_provider_ids.length > 0 ? undefined : "At least one provider",
  };
  const finish = () => {
    setTried(true);
    if (wanting.name ?? wanting.groups ?? wanting.providers) {
      setTab("access");
      return;
    }
    save.mutate(
      { ...draft, enabled: policy?.enabled ?? true },
      {
        onSuccess: (saved) => {
          toast(policy ? `${saved.name} is changed` : `${saved.name} is made`);
          onClose();
        },
        onError: (error) => setTab(tabOf(error)),
      },
    );
  };
  return (
    <Dialog
      open
      keepOnOutsideClick
      onClose={onClose}
      size="l"
      title={policy ? `Edit ${policy.name}` : "New policy"}
      onSubmit={finish}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button look="primary" type="submit" busy={save.isPending}>
            {policy ? "Save" : "Make policy"}
          </Button>
        </>
      }
    >
      {save.error && (
        <Notice tone="bad">
          {save.error.field && `${save.error.field}: `}
          {save.error.message}
        </Notice>
      )}
      <Tabs
        label="Parts of the policy"
        value={tab}
        onChange={setTab}
        tabs={[
          {
            value: "access",
            label: "Access",
            content: (
              <Access draft={draft} set={set} wanting={isTried ? wanting : {}} error={save.error} />
            ),
          },
          {
            value: "limits",
            label: "Limits",
            content: (
              <div className={css.tab}>
                <LimitsFields
                  value={draft.limits}
                  onChange={(limits) => set({ limits })}
                  error={save.error}
                />
              </div>
            ),
          },
          {
            value: "guardrails",
            label: "Guardrails and paths",
            content: <Guards draft={draft} set={set} error={save.error} />,
          },
        ]}
      />
    </Dialog>
  );
}

interface PartProps {
  draft: Draft;
  set: (change: Partial<Draft>) => void;
  error: ApiError | null;
}

function Access({
  draft,
  set,
  wanting,
  error,
}: PartProps & { wanting: { name?: string; groups?: string; providers?: string } }) {
  const groups = useGroups();
  const providers = useProviders();
  const catalog = useCatalog();
  const at = (field: string) => (error?.field?.startsWith(field) ? error.message : undefined);
  return (
    <div className={css.tab}>
      <Field label="Name" error={wanting.name ?? at("name")}>
        {(control) => (
          <TextInput
            {...control}
            autoFocus
            value={draft.name}
            onChange={(event) => set({ name: event.target.value })}
          />
        )}
      </Field>
      <Field label="Description" optional error={at("description")}>
        {(control) => (
          <TextInput
            {...control}
            value={draft.description}
            onChange={(event) => set({ description: event.target.value })}
          />
        )}
      </Field>
      <Field
        label="Groups"
        hint="Peers of any of these. A group that does not exist yet is made: type its id and press Enter."
        error={wanting.groups ?? at("source_groups")}
      >
        {(control) => (
          <MultiSelect
            control={control}
            label="Groups"
            free
            options={(groups.data ?? []).map((group) => ({ value: group.id, label: group.name }))}
            values={draft.source_groups}
            onChange={(source_groups) => set({ source_groups })}
            placeholder="Add a group"
          />
        )}
      </Field>
      <Field label="Providers" error={wanting.providers ?? at("destination_provider_ids")}>
        {(control) => (
          <MultiSelect
            control={control}
            label="Providers"
            options={(providers.data ?? []).map((provider) => {
              const entry = catalog.data?.find((one) => one.id === provider.provider_id);
              return {
                value: provider.id,
                label: provider.name,
                detail: entry?.name,
                icon: (
                  <Mark
                    name={entry?.name ?? "?"}
                    color={entry?.brand_color ?? "#888888"}
                    size={22}
                  />
                ),
              };
            })}
            values={draft.destination_provider_ids}
            onChange={(destination_provider_ids) => set({ destination_provider_ids })}
            placeholder="Add a provider"
          />
        )}
      </Field>
    </div>
  );
}

function Guards({ draft, set, error }: PartProps) {
  const guardrails = useGuardrails();
  const at = (field: string) => (error?.field?.startsWith(field) ? error.message : undefined);
  return (
    <div className={css.tab}>
      <Field
        label="Guardrails"
        hint="All of them hold: a model has to be on every list."
        error={at("guardrail_ids")}
      >
        {(control) => (
          <MultiSelect
            control={control}
            label="Guardrails"
            options={(guardrails.data ?? []).map((guardrail) => ({
              value: guardrail.id,
              label: guardrail.name,
              detail: guardrail.description || undefined,
            }))}
            values={draft.guardrail_ids}
            onChange={(guardrail_ids) => set({ guardrail_ids })}
            placeholder="Add a guardrail"
          />
        )}
      </Field>
      <Field
        label="Allowed paths"
        hint="As agents send them, such as /v1/chat/completions; a * at the end stands for any rest. Empty allows every path."
        error={at("allowed_paths")}
      >
        {(control) => (
          <MultiSelect
            control={control}
            label="Allowed paths"
            free
            options={PATHS.map((path) => ({ value: path, label: path }))}
            values={draft.allowed_paths}
            onChange={(allowed_paths) => set({ allowed_paths })}
            placeholder="Add a path"
          />
        )}
      </Field>
    </div>
  );
}

/** Those that are asked for most. */
const PATHS = ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages", "/v1/*"];

function draftOf(policy: Policy | undefined): Draft {
  if (!policy) {
    return {
      name: "",
      description: "",
      source_groups: [],
      destination_provider_ids: [],
      guardrail_ids: [],
      limits: noLimits(),
      allowed_paths: [],
    };
  }
  const {
    id: _id,
    enabled: _enabled,
    created_at: _created,
    updated_at: _updated,
    ...rest
  } = policy;
  return { ...rest, limits: editable(policy.limits) };
}

function tabOf(error: ApiError): Tab {
  if (error.field?.startsWith("limits")) return "limits";
  if (error.field?.startsWith("guardrail") || error.field?.startsWith("allowed"))
    return "guardrails";
  return "access";
}
