/** Names of what usage and logs only have the ids of. What was removed keeps its id as its name. */

import { useMemo } from "react";
import { useGroups, usePolicies, useProviders } from "./queries";
import type { Id, Named } from "./types";

export interface Names {
  provider: (id: Id) => string;
  group: (id: Id) => string;
  policy: (id: Id) => string;
}

export function useNames(): Names {
  const providers = useProviders().data;
  const groups = useGroups().data;
  const policies = usePolicies().data;
  return useMemo(
    () => ({ provider: lookup(providers), group: lookup(groups), policy: lookup(policies) }),
    [providers, groups, policies],
  );
}

function lookup(all: readonly Named[] | undefined): (id: Id) => string {
  const names = new Map(all?.map(({ id, name }) => [id, name]));
  return (id) => names.get(id) ?? id;
}
