import { useMemo, useState } from "react";
import type { DiscoveredModel, Model } from "@/api/types";
import { Badge } from "@/components/Badge";
import { Button } from "@/components/Button";
import { SearchInput } from "@/components/Input";
import { plural, usd } from "@/format/number";
import css from "./ImportList.module.css";
import { perMillion } from "./price";

interface Props {
  models: readonly DiscoveredModel[];
  /** There are more than the node takes. */
  isCut: boolean;
  /** Already in the list. */
  chosen: readonly Model[];
  onImport: (models: DiscoveredModel[]) => void;
  onCancel: () => void;
}

/** What the provider says it serves to this key, to choose from. */
export function ImportList({ models, isCut, chosen, onImport, onCancel }: Props) {
  const [search, setSearch] = useState("");
  const [picked, setPicked] = useState<ReadonlySet<string>>(new Set());
  const listed = useMemo(() => new Set(chosen.map((model) => model.id)), [chosen]);
  const shown = models.filter((model) =>
    `${model.id} ${model.label ?? ""}`.toLowerCase().includes(search.trim().toLowerCase()),
  );
  const open = shown.filter((model) => !listed.has(model.id));
  const hasAll = open.length > 0 && open.every((model) => picked.has(model.id));
  const toggle = (ids: readonly string[], on: boolean) => {
    const next = new Set(picked);
    for (const id of ids) {
      if (on) next.add(id);
      else next.delete(id);
    }
    setPicked(next);
  };
  return (
    <div className={css.panel} role="group" aria-label="Models of the provider">
      <div className={css.head}>
        <SearchInput
          label={`Search ${plural(models.length, "model")}`}
          value={search}
          onChange={setSearch}
        />
        <label className={css.all}>
          <input
            type="checkbox"
            checked={hasAll}
            disabled={open.length === 0}
            onChange={(event) =>
              toggle(
                open.map((model) => model.id),
                event.target.checked,
              )
            }
          />
          All shown
        </label>
      </div>
      <ul className={css.list}>
        {shown.map((model) => (
          <li key={model.id}>
            <label className={css.row}>
              <input
                type="checkbox"
                checked={listed.has(model.id) || picked.has(model.id)}
                disabled={listed.has(model.id)}
                onChange={(event) => toggle([model.id], event.target.checked)}
              />
              <span className={css.name}>
                <code>{model.id}</code>
                {model.label && model.label !== model.id && <span>{model.label}</span>}
              </span>
              {model.pricing_known ? (
                <span className={css.price}>
                  {usd(perMillion(model.input_per_1k) ?? 0)} /{" "}
                  {usd(perMillion(model.output_per_1k) ?? 0)}
                </span>
              ) : (
                <Badge tone="warn">no price</Badge>
              )}
            </label>
          </li>
        ))}
        {shown.length === 0 && <li className={css.none}>Nothing matches.</li>}
      </ul>
      {isCut && <p className={css.none}>The provider lists more; these are the first.</p>}
      <div className={css.foot}>
        <span>Input / output, per million tokens</span>
        <Button size="s" onClick={onCancel}>
          Cancel
        </Button>
        <Button
          size="s"
          look="primary"
          disabled={picked.size === 0}
          onClick={() => onImport(models.filter((model) => picked.has(model.id)))}
        >
          Add {picked.size === 0 ? "" : plural(picked.size, "model")}
        </Button>
      </div>
    </div>
  );
}
