/** Several query parameters of the address as one state, for pages with filters. */

import { useCallback } from "react";
import { navigate, useRoute } from "./router";

export type Patch = Record<string, string | undefined>;

/** What the address says, and a change of some of it; empty values leave the address. */
export function useParameters(): [URLSearchParams, (patch: Patch) => void] {
  const { parameters } = useRoute();
  const change = useCallback((patch: Patch) => {
    navigate(location.pathname + patched(location.search, patch), { replace: true });
  }, []);
  return [parameters, change];
}

/** `search` with some of its parameters changed, from its `?` on. */
export function patched(search: string, patch: Patch): string {
  const next = new URLSearchParams(search);
  for (const [name, value] of Object.entries(patch)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  const text = next.toString();
  return text && `?${text}`;
}
