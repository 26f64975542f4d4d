import type { ApiError } from "@/api/http";
import type { Limits } from "@/api/types";
import { Field, FieldGroup } from "@/components/Field";
import { NumberInput, Select } from "@/components/Input";
import { Segmented } from "@/components/Segmented";
import { Switch } from "@/components/Switch";
import css from "./LimitsFields.module.css";

interface Props {
  value: Limits;
  onChange: (limits: Limits) => void;
  error: ApiError | null;
}

/** Caps over windows, rates, and how sure they are to hold. Empty caps nothing. */
export function LimitsFields({ value, onChange, error }: Props) {
  const { token_limit: tokens, budget_limit: budget, rate_limit: rate } = value;
  const setTokens = (change: Partial<typeof tokens>) =>
    onChange({ ...value, token_limit: { ...tokens, ...change } });
  const setBudget = (change: Partial<typeof budget>) =>
    onChange({ ...value, budget_limit: { ...budget, ...change } });
  const setRate = (change: Partial<typeof rate>) =>
    onChange({ ...value, rate_limit: { ...rate, ...change } });
  const cap = (
    field: string,
    label: string,
    unit: string,
    amount: number,
    set: (value: number) => void,
  ) => (
    <Field
      key={field}
      label={label}
      error={error?.field === `limits.${field}` ? error.message : undefined}
    >
      {(control) => (
        <NumberInput
          {...control}
          unit={unit}
          placeholder="No cap"
          value={amount || undefined}
          onChange={(next) => set(next ?? 0)}
        />
      )}
    </Field>
  );
  const whole = (set: (value: number) => void) => (amount: number) => set(Math.round(amount));
  return (
    <>
      <Section
        label="Budget"
        hint="What may be spent in a window"
        enabled={budget.enabled}
        onEnable={(enabled) => setBudget({ enabled })}
      >
        {cap("budget_limit.group_cap_usd", "Each group", "USD", budget.group_cap_usd, (v) =>
          setBudget({ group_cap_usd: v }),
        )}
        {cap("budget_limit.user_cap_usd", "Each user", "USD", budget.user_cap_usd, (v) =>
          setBudget({ user_cap_usd: v }),
        )}
        <WindowField
          seconds={budget.window_seconds}
          onChange={(window_seconds) => setBudget({ window_seconds })}
          error={error?.field === "limits.budget_limit.window_seconds" ? error.message : undefined}
        />
      </Section>
      <Section
        label="Tokens"
        hint="Input and output together, in a window"
        enabled={tokens.enabled}
        onEnable={(enabled) => setTokens({ enabled })}
      >
        {cap(
          "token_limit.group_cap",
          "Each group",
          "tokens",
          tokens.group_cap,
          whole((v) => setTokens({ group_cap: v })),
        )}
        {cap(
          "token_limit.user_cap",
          "Each user",
          "tokens",
          tokens.user_cap,
          whole((v) => setTokens({ user_cap: v })),
        )}
        <WindowField
          seconds={tokens.window_seconds}
          onChange={(window_seconds) => setTokens({ window_seconds })}
          error={error?.field === "limits.token_limit.window_seconds" ? error.message : undefined}
        />
      </Section>
      <Section
        label="Rates"
        hint="Per minute, and at the same time"
        enabled={rate.enabled}
        onEnable={(enabled) => setRate({ enabled })}
      >
        {(
          [
            ["group_requests_per_minute", "Each group, requests", "/ min"],
            ["user_requests_per_minute", "Each user, requests", "/ min"],
            ["group_tokens_per_minute", "Each group, tokens", "/ min"],
            ["user_tokens_per_minute", "Each user, tokens", "/ min"],
            ["group_concurrency", "Each group, at the same time", "open"],
            ["user_concurrency", "Each user, at the same time", "open"],
          ] as const
        ).map(([field, label, unit]) =>
          cap(
            `rate_limit.${field}`,
            label,
            unit,
            rate[field],
            whole((v) => setRate({ [field]: v })),
          ),
        )}
      </Section>
      {(budget.enabled || tokens.enabled || rate.enabled) && (
        <FieldGroup
          legend="How sure it is to hold"
          hint={
            value.mode === "hard"
              ? "Nothing is sent that could pass a cap: requests get an upper bound on their output where they have none."
              : "A request without a bound on its output is taken to need a usual amount; the last one may pass the cap a little."
          }
        >
          <div>
            <Segmented
              label="How sure it is to hold"
              value={value.mode}
              onChange={(mode) => onChange({ ...value, mode })}
              options={[
                { value: "soft", label: "Soft" },
                { value: "hard", label: "Hard" },
              ]}
            />
          </div>
        </FieldGroup>
      )}
    </>
  );
}

function Section({
  label,
  hint,
  enabled,
  onEnable,
  children,
}: {
  label: string;
  hint: string;
  enabled: boolean;
  onEnable: (enabled: boolean) => void;
  children: React.ReactNode;
}) {
  return (
    <div className={css.section}>
      <Switch label={label} hint={hint} checked={enabled} onChange={onEnable} />
      {enabled && (
        <div className={css.fields} role="group" aria-label={label}>
          {children}
        </div>
      )}
    </div>
  );
}

const UNITS = [
  { value: "60", label: "minutes" },
  { value: "3600", label: "hours" },
  { value: "86400", label: "days" },
] as const;
type Unit = (typeof UNITS)[number]["value"];

function WindowField({
  seconds,
  onChange,
  error,
}: {
  seconds: number;
  onChange: (seconds: number) => void;
  error: string | undefined;
}) {
  const unit: Unit = UNITS.findLast(({ value }) => seconds % Number(value) === 0)?.value ?? "60";
  return (
    <Field label="Counted anew every" error={error}>
      {(control) => (
        <span className={css.window}>
          <NumberInput
            {...control}
            inputMode="numeric"
            value={seconds / Number(unit) || undefined}
            onChange={(amount) => onChange(Math.round(amount ?? 0) * Number(unit))}
          />
          <Select
            aria-label="Unit of the window"
            value={unit}
            onChange={(next) => onChange((seconds / Number(unit)) * Number(next))}
            options={UNITS}
          />
        </span>
      )}
    </Field>
  );
}
