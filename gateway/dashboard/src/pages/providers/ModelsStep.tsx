import { Download } from "lucide-react";
import { useState } from "react";
import { discoverModels } from "@/api/changes";
import type { ApiError } from "@/api/http";
import { useChange } from "@/api/queries";
import type { CatalogEntry, DiscoveredModel, Model } from "@/api/types";
import { Button } from "@/components/Button";
import { Combobox, type Option } from "@/components/Combobox";
import { Field } from "@/components/Field";
import { Notice } from "@/components/Notice";
import { Segmented } from "@/components/Segmented";
import { plural } from "@/format/number";
import { discovery, type Draft } from "./draft";
import { ImportList } from "./ImportList";
import { ModelRow } from "./ModelRow";
import css from "./ModelsStep.module.css";

interface Props {
  entry: CatalogEntry;
  draft: Draft;
  onChange: (draft: Draft) => void;
  problem: string | undefined;
  error: ApiError | null;
}

/** Every model, or those that are listed, each at the catalog's price or at one's own. */
export function ModelsStep({ entry, draft, onChange, problem, error }: Props) {
  const discover = useChange(discoverModels);
  const [isImporting, setImporting] = useState(false);
  const setModels = (models: Model[]) => onChange({ ...draft, models, anyModel: false });
  const add = (models: Model[]) => {
    const known = new Set(draft.models.map((model) => model.id));
    setModels([...draft.models, ...models.filter((model) => !known.has(model.id))]);
  };
  const start = () => {
    setImporting(true);
    discover.mutate(discovery(draft, entry));
  };
  return (
    <div className={css.step}>
      <Segmented
        label="Which models"
        value={draft.anyModel ? "any" : "some"}
        onChange={(which) => onChange({ ...draft, anyModel: which === "any" })}
        options={[
          { value: "any", label: "All models" },
          { value: "some", label: "Only these" },
        ]}
      />
      {draft.anyModel ? (
        <p className={css.text}>
          Every model that {entry.name} serves can be asked for, at the catalog's prices.
          {entry.models.length === 0 &&
            " The catalog has no prices for it, so costs count as nothing unless the answer tells them: list models to set prices."}{" "}
          Policies and guardrails still decide who may use which.
        </p>
      ) : (
        <>
          <div className={css.add}>
            <AddModel entry={entry} draft={draft} onAdd={(model) => add([model])} />
            <Button
              icon={<Download />}
              busy={discover.isPending}
              disabled={entry.unlisted !== undefined}
              onClick={start}
            >
              Import from the provider
            </Button>
          </div>
          {entry.unlisted && (
            <p className={css.text}>Models cannot be imported: {entry.unlisted}</p>
          )}
          {isImporting && discover.error && (
            <Notice tone="bad" title="The provider lists no models">
              {discover.error.message}
            </Notice>
          )}
          {isImporting && discover.data && (
            <ImportList
              models={discover.data.models}
              isCut={discover.data.truncated ?? false}
              chosen={draft.models}
              onCancel={() => setImporting(false)}
              onImport={(models) => {
                add(models.map(imported));
                setImporting(false);
              }}
            />
          )}
          {problem && (
            <p className={css.problem} role="alert">
              {problem}
            </p>
          )}
          {draft.models.length > 0 && (
            <ul className={css.rows} aria-label={plural(draft.models.length, "model")}>
              {draft.models.map((model, index) => (
                <ModelRow
                  key={model.id}
                  entry={entry}
                  model={model}
                  error={fieldError(error, index)}
                  onChange={(next) => setModels(draft.models.with(index, next))}
                  onRemove={() => setModels(draft.models.toSpliced(index, 1))}
                />
              ))}
            </ul>
          )}
        </>
      )}
    </div>
  );
}

function AddModel({
  entry,
  draft,
  onAdd,
}: {
  entry: CatalogEntry;
  draft: Draft;
  onAdd: (model: Model) => void;
}) {
  const [text, setText] = useState("");
  const listed = new Set(draft.models.map((model) => model.id));
  const options: Option[] = entry.models
    .filter((model) => !listed.has(model.id))
    .map((model) => ({
      value: model.id,
      label: model.id,
      detail: model.label === model.id ? undefined : model.label,
    }));
  const add = (id: string) => {
    const own = id.trim();
    if (own) onAdd({ id: own });
    setText("");
  };
  return (
    <Field label="Add a model" hideLabel className={css.grow}>
      {(control) => (
        <Combobox
          control={control}
          label="Add a model"
          free
          options={options}
          value={text}
          onChange={setText}
          onChoose={add}
          onEnter={add}
          placeholder={
            options.length > 0 ? "Add a model: choose, or type its id" : "Add a model: type its id"
          }
          nothing={text ? `Enter adds “${text}”` : "Type the id that agents send"}
        />
      )}
    </Field>
  );
}

/** The catalog's price is not copied: it follows the catalog. A vendor's own is known only here. */
function imported(model: DiscoveredModel): Model {
  const { id, base_model, pricing_source } = model;
  return {
    id,
    ...(base_model ? { base_model } : {}),
    ...(pricing_source === "vendor"
      ? {
          input_per_1k: model.input_per_1k,
          output_per_1k: model.output_per_1k,
          ...(model.cache_read_per_1k === undefined
            ? {}
            : { cache_read_per_1k: model.cache_read_per_1k }),
          ...(model.cache_creation_per_1k === undefined
            ? {}
            : { cache_creation_per_1k: model.cache_creation_per_1k }),
        }
      : {}),
  };
}

function fieldError(error: ApiError | null, index: number): string | undefined {
  return error?.field?.startsWith(`models[${index}].`) ? error.message : undefined;
}
