import { useState } from "react";
import { guardrails as change } from "@/api/changes";
import { useCatalog, useChange, useProviders, useTagged } from "@/api/queries";
import type { Guardrail, GuardrailRequest } from "@/api/types";
import { Button } from "@/components/Button";
import { Dialog } from "@/components/Dialog";
import { Field } from "@/components/Field";
import { NumberInput, TextInput } from "@/components/Input";
import { MultiSelect } from "@/components/MultiSelect";
import { Notice } from "@/components/Notice";
import { Switch } from "@/components/Switch";
import { toast } from "@/components/Toast";
import css from "./GuardrailDialog.module.css";

type Checks = Guardrail["checks"];

const CAPTURE_BYTES_DEFAULT = 3500;

const NO_CHECKS: Checks = {
  model_allowlist: { enabled: false, models: [] },
  prompt_capture: { enabled: false, redact_pii: true, max_bytes: CAPTURE_BYTES_DEFAULT },
  output_limit: { enabled: false, max_tokens: 0 },
};

export function GuardrailDialog({
  guardrail,
  onClose,
}: {
  guardrail?: Guardrail;
  onClose: () => void;
}) {
  const stored = useTagged<Guardrail>("guardrails", guardrail?.id);
  const providers = useProviders();
  const catalog = useCatalog();
  const [name, setName] = useState(guardrail?.name ?? "");
  const [description, setDescription] = useState(guardrail?.description ?? "");
  const [checks, setChecks] = useState(guardrail?.checks ?? NO_CHECKS);
  const [isTried, setTried] = useState(false);
  const save = useChange(
    (body: GuardrailRequest) =>
      guardrail
        ? change.update({ id: guardrail.id, body, ifMatch: stored.data?.etag ?? null })
        : change.create(body),
    "guardrails",
  );
  const { model_allowlist: models, prompt_capture: capture, output_limit: output } = checks;
  const at = (field: string) =>
    save.error?.field?.startsWith(field) ? save.error.message : undefined;
  const noName = name.trim() ? undefined : "A name to tell it from others";
  const finish = () => {
    setTried(true);
    if (noName) return;
    save.mutate(
      { name: name.trim(), description, checks },
      {
        onSuccess: (saved) => {
          toast(guardrail ? `${saved.name} is changed` : `${saved.name} is made`);
          onClose();
        },
      },
    );
  };
  const known = [
    ...new Set([
      ...(providers.data?.flatMap((provider) => provider.models.map(({ id }) => id)) ?? []),
      ...(catalog.data?.flatMap((entry) => entry.models.map(({ id }) => id)) ?? []),
    ]),
  ];
  return (
    <Dialog
      open
      keepOnOutsideClick
      onClose={onClose}
      title={guardrail ? `Edit ${guardrail.name}` : "New guardrail"}
      onSubmit={finish}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button look="primary" type="submit" busy={save.isPending}>
            {guardrail ? "Save" : "Make guardrail"}
          </Button>
        </>
      }
    >
      {save.error && <Notice tone="bad">{save.error.message}</Notice>}
      <Field label="Name" error={(isTried && noName) || at("name")}>
        {(control) => (
          <TextInput
            {...control}
            autoFocus
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        )}
      </Field>
      <Field label="Description" optional error={at("description")}>
        {(control) => (
          <TextInput
            {...control}
            value={description}
            onChange={(event) => setDescription(event.target.value)}
          />
        )}
      </Field>
      <div className={css.check}>
        <Switch
          label="Allow certain models only"
          hint="All other models are refused, and left out of listings"
          checked={models.enabled}
          onChange={(enabled) => setChecks({ ...checks, model_allowlist: { ...models, enabled } })}
        />
        {models.enabled && (
          <Field
            label="Models"
            hint="A * stands for any part: claude-haiku-*"
            error={at("checks.model_allowlist")}
          >
            {(control) => (
              <MultiSelect
                control={control}
                label="Models"
                free
                options={known.map((id) => ({ value: id, label: id }))}
                values={models.models}
                onChange={(next) =>
                  setChecks({ ...checks, model_allowlist: { ...models, models: next } })
                }
                placeholder="Add a model or a pattern"
              />
            )}
          </Field>
        )}
      </div>
      <div className={css.check}>
        <Switch
          label="Bound the output"
          hint="Requests that ask for more, or for no bound, get this one"
          checked={output.enabled}
          onChange={(enabled) => setChecks({ ...checks, output_limit: { ...output, enabled } })}
        />
        {output.enabled && (
          <Field label="Tokens at most" error={at("checks.output_limit")}>
            {(control) => (
              <NumberInput
                {...control}
                inputMode="numeric"
                unit="tokens"
                value={output.max_tokens || undefined}
                onChange={(value) =>
                  setChecks({
                    ...checks,
                    output_limit: { ...output, max_tokens: Math.round(value ?? 0) },
                  })
                }
              />
            )}
          </Field>
        )}
      </div>
      <div className={css.check}>
        <Switch
          label="Keep prompts and answers"
          hint="Sealed on this node, for review in the log. Settings have to allow it too."
          checked={capture.enabled}
          onChange={(enabled) => setChecks({ ...checks, prompt_capture: { ...capture, enabled } })}
        />
        {capture.enabled && (
          <>
            <Switch
              label="Redact keys and personal data"
              checked={capture.redact_pii}
              onChange={(redact_pii) =>
                setChecks({ ...checks, prompt_capture: { ...capture, redact_pii } })
              }
            />
            <Field label="Of each text at most" error={at("checks.prompt_capture")}>
              {(control) => (
                <NumberInput
                  {...control}
                  inputMode="numeric"
                  unit="bytes"
                  value={capture.max_bytes || undefined}
                  onChange={(value) =>
                    setChecks({
                      ...checks,
                      prompt_capture: { ...capture, max_bytes: Math.round(value ?? 0) },
                    })
                  }
                />
              )}
            </Field>
          </>
        )}
      </div>
    </Dialog>
  );
}
