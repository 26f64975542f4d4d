/** The API has dollars per thousand tokens; people know vendors' prices per million. */

import type { CatalogEntry, CatalogModel, Model, Surface } from "@/api/types";

/** Enough for any price, and too few for the last bit of a binary fraction to show. */
const DIGITS = 12;

export function perMillion(perThousand: number | undefined): number | undefined {
  return perThousand === undefined ? undefined : Number((perThousand * 1000).toPrecision(DIGITS));
}

export function perThousand(perMillion: number | undefined): number | undefined {
  return perMillion === undefined ? undefined : Number((perMillion / 1000).toPrecision(DIGITS));
}

/** What the catalog knows of a model, by its own id or the one that its price is taken from. */
export function listed(entry: CatalogEntry, model: Model): CatalogModel | undefined {
  const id = model.base_model ?? model.id;
  return entry.models.find((known) => known.id === id);
}

const INSIDE: readonly Surface[] = ["openai", "google"];

export type PriceField =
  | "input_per_1k"
  | "output_per_1k"
  | "cached_input_per_1k"
  | "cache_read_per_1k"
  | "cache_creation_per_1k";

/** Prices of the cache by how the provider bills: under which field, and whether writing has its own. */
export function cacheFields(entry: CatalogEntry): { field: PriceField; label: string }[] {
  const surfaces = entry.pricing_surfaces ?? [];
  const isInside = surfaces.length > 0 && surfaces.every((surface) => INSIDE.includes(surface));
  return isInside
    ? [{ field: "cached_input_per_1k", label: "Cached input" }]
    : [
        { field: "cache_read_per_1k", label: "Cache read" },
        { field: "cache_creation_per_1k", label: "Cache write" },
      ];
}
