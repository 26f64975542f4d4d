import { ChevronDown, Trash2 } from "lucide-react";
import { useId, useState } from "react";
import type { CatalogEntry, Model } from "@/api/types";
import { Badge } from "@/components/Badge";
import { IconButton } from "@/components/Button";
import { Combobox } from "@/components/Combobox";
import { Field } from "@/components/Field";
import { NumberInput } from "@/components/Input";
import css from "./ModelRow.module.css";
import { cacheFields, listed, perMillion, perThousand, type PriceField } from "./price";

interface Props {
  entry: CatalogEntry;
  model: Model;
  error: string | undefined;
  onChange: (model: Model) => void;
  onRemove: () => void;
}

/** One model and what it costs; an empty price is the catalog's, which is shown in its place. */
export function ModelRow({ entry, model, error, onChange, onRemove }: Props) {
  const [open, setOpen] = useState(false);
  const more = useId();
  const known = listed(entry, model);
  const price = (field: PriceField, label: string) => (
    <Field key={field} label={label} className={css.price}>
      {(control) => (
        <NumberInput
          {...control}
          aria-label={`${label} of ${model.id}, dollars per million tokens`}
          unit="$ / 1M"
          placeholder={perMillion(known?.[field])?.toString() ?? "—"}
          value={perMillion(model[field])}
          onChange={(value) => onChange(withField(model, field, perThousand(value)))}
        />
      )}
    </Field>
  );
  const isPriced = known !== undefined || model.input_per_1k !== undefined;
  return (
    <li className={css.row}>
      <div className={css.main}>
        <div className={css.name}>
          <code>{model.id}</code>
          {!isPriced && <Badge tone="warn">no price</Badge>}
          {error && <span className={css.error}>{error}</span>}
        </div>
        {price("input_per_1k", "Input")}
        {price("output_per_1k", "Output")}
        <div className={css.actions}>
          <IconButton
            label={`More about ${model.id}`}
            aria-expanded={open}
            aria-controls={more}
            onClick={() => setOpen(!open)}
          >
            <ChevronDown className={open ? css.turned : undefined} />
          </IconButton>
          <IconButton label={`Take ${model.id} away`} onClick={onRemove}>
            <Trash2 />
          </IconButton>
        </div>
      </div>
      <div id={more} className={css.more} hidden={!open}>
        {cacheFields(entry).map(({ field, label }) => price(field, label))}
        <Field label="Context window" className={css.price}>
          {(control) => (
            <NumberInput
              {...control}
              inputMode="numeric"
              unit="tokens"
              placeholder={known?.context_window.toString() ?? "—"}
              value={model.context}
              onChange={(value) =>
                onChange(withField(model, "context", value && Math.round(value)))
              }
            />
          )}
        </Field>
        {entry.models.length > 0 && (
          <Field
            label="Priced as"
            className={css.base}
            hint="For a name of your own, such as a deployment: the catalog's model behind it"
          >
            {(control) => (
              <Combobox
                control={control}
                options={[
                  { value: "", label: "Its own id" },
                  ...entry.models.map((one) => ({ value: one.id, label: one.id })),
                ]}
                value={model.base_model ?? ""}
                onChange={(base) => onChange(withField(model, "base_model", base || undefined))}
              />
            )}
          </Field>
        )}
      </div>
    </li>
  );
}

function withField<F extends keyof Model>(
  model: Model,
  field: F,
  value: Model[F] | undefined,
): Model {
  const { [field]: _, ...rest } = model;
  return (value === undefined ? rest : { ...rest, [field]: value }) as Model;
}
