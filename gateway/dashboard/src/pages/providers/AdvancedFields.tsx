import { ChevronRight } from "lucide-react";
import type { ApiError } from "@/api/http";
import type { CatalogEntry, ProviderRateLimit } from "@/api/types";
import { Field, FieldGroup } from "@/components/Field";
import { NumberInput, TextArea } from "@/components/Input";
import { Switch } from "@/components/Switch";
import css from "./AdvancedFields.module.css";
import type { Draft } from "./draft";

interface Props {
  entry: CatalogEntry;
  draft: Draft;
  onChange: (change: Partial<Draft>) => void;
  error: ApiError | null;
}

const RATES = [
  { field: "requests_per_minute", label: "Requests per minute" },
  { field: "tokens_per_minute", label: "Tokens per minute" },
  { field: "concurrency", label: "At the same time" },
] as const satisfies readonly { field: keyof ProviderRateLimit; label: string }[];

/** What most providers do without: trust, private addresses, a rate that the key is not to pass. */
export function AdvancedFields({ entry, draft, onChange, error }: Props) {
  const at = (field: string) => (error?.field === field ? error.message : undefined);
  const rate = (change: Partial<ProviderRateLimit>) => {
    const next = { ...draft.rateLimit, ...change };
    const enabled = RATES.some(({ field }) => next[field] > 0);
    onChange({ rateLimit: { ...next, enabled } });
  };
  return (
    <details className={css.more} open={error?.field === "ca_pem" || undefined}>
      <summary>
        <ChevronRight aria-hidden="true" />
        Network, trust and rate
      </summary>
      <div className={css.body}>
        <Switch
          label="Allow private addresses"
          hint="Loopback and private networks, for servers of your own. Link-local and metadata addresses stay refused."
          checked={draft.allowPrivate}
          onChange={(allowPrivate) => onChange({ allowPrivate })}
        />
        {entry.kind === "custom" && (
          <Switch
            label="Skip TLS verification"
            hint="Anybody on the way could read the key. Better give the server's CA below."
            checked={draft.skipTls}
            onChange={(skipTls) => onChange({ skipTls })}
          />
        )}
        <Field
          label="CA certificates (PEM)"
          optional
          hint="Trusted for this provider in place of the system's"
          error={at("ca_pem")}
        >
          {(control) => (
            <TextArea
              {...control}
              className={css.pem}
              placeholder="-----BEGIN CERTIFICATE-----"
              value={draft.caPem}
              onChange={(event) => onChange({ caPem: event.target.value })}
            />
          )}
        </Field>
        <FieldGroup legend="At most" hint="For all callers together. Empty sets no limit.">
          <div className={css.rates}>
            {RATES.map(({ field, label }) => (
              <Field key={field} label={label} error={at(`rate_limit.${field}`)}>
                {(control) => (
                  <NumberInput
                    {...control}
                    inputMode="numeric"
                    value={draft.rateLimit[field] || undefined}
                    onChange={(value) => rate({ [field]: Math.round(value ?? 0) })}
                  />
                )}
              </Field>
            ))}
          </div>
        </FieldGroup>
      </div>
    </details>
  );
}
