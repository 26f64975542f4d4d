/** What pages read, by name. A change names what it makes stale; see `useChange`. */

import {
  QueryClient,
  useMutation,
  useQuery,
  useQueryClient,
  type UseMutationResult,
  type UseQueryResult,
} from "@tanstack/react-query";
import { ApiError, get, getTagged, type Tagged } from "./http";
import type {
  BudgetRule,
  CatalogEntry,
  Group,
  Guardrail,
  Levels,
  NodeStatus,
  Peer,
  Policy,
  Provider,
  ProviderKey,
  Session,
  Settings,
} from "./types";

/** Between two looks at something that changes by itself. */
export const LIVE_MS = 5_000;
const RETRIES = 2;

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      // What the node refused it will refuse again.
      retry: (count, error) => count < RETRIES && isTransient(error),
      refetchOnWindowFocus: true,
    },
  },
});

function isTransient(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 0 || error.status >= 502);
}

/** Paths of resources double as the keys of their queries. */
export type Resource =
  | "session"
  | "status"
  | "settings"
  | "catalog/providers"
  | "providers"
  | "policies"
  | "guardrails"
  | "budget-rules"
  | "limits"
  | "consumption"
  | "peers"
  | "groups"
  | "tokens"
  | "admission"
  | "agent-config"
  | "audit"
  | "access-logs"
  | "access-log-sessions"
  | "usage";

export const useSession = () =>
  useQuery<Session, ApiError>({
    queryKey: ["session"],
    queryFn: ({ signal }) => get("/session", { signal }),
    staleTime: 60_000,
  });

/** Polled: readiness and the providers' state change by themselves. */
export const useStatus = () => useLive<NodeStatus>("status", "/status");
export const useSettings = () => useResource<Settings>("settings");
export const useCatalog = () => useResource<CatalogEntry[]>("catalog/providers", Infinity);
export const useProviders = () => useResource<Provider[]>("providers");
export const usePolicies = () => useResource<Policy[]>("policies");
export const useGuardrails = () => useResource<Guardrail[]>("guardrails");
export const useBudgetRules = () => useResource<BudgetRule[]>("budget-rules");
export const usePeers = () => useResource<Peer[]>("peers");
export const useGroups = () => useResource<Group[]>("groups");
/** Polled: buckets fill while agents work. */
export const useLevels = () => useLive<Levels>("limits", "/limits");

export const useProviderKeys = (id: string | undefined) =>
  useQuery<ProviderKey[], ApiError>({
    queryKey: ["providers", id, "keys"],
    queryFn: ({ signal }) => get(`/providers/${id}/keys`, { signal }),
    enabled: id !== undefined,
  });

/** One document with its revision, read anew whenever it is opened for a change. */
export const useTagged = <T>(resource: Resource, id: string | undefined) =>
  useQuery<Tagged<T>, ApiError>({
    queryKey: [resource, id],
    queryFn: ({ signal }) => getTagged(`/${resource}/${id}`, { signal }),
    enabled: id !== undefined,
    staleTime: 0,
    gcTime: 0,
    refetchOnWindowFocus: false,
  });

export function useResource<T>(
  resource: Resource,
  staleTime?: number,
): UseQueryResult<T, ApiError> {
  return useQuery<T, ApiError>({
    queryKey: [resource],
    queryFn: ({ signal }) => get(`/${resource}`, { signal }),
    ...(staleTime === undefined ? {} : { staleTime }),
  });
}

export function useLive<T>(resource: Resource, path: string): UseQueryResult<T, ApiError> {
  return useQuery<T, ApiError>({
    queryKey: [resource],
    queryFn: ({ signal }) => get(path, { signal }),
    refetchInterval: LIVE_MS,
  });
}

/** A change; once it is done, everything read of `stale` is read again before it counts as done. */
export function useChange<In, Out>(
  change: (input: In) => Promise<Out>,
  ...stale: Resource[]
): UseMutationResult<Out, ApiError, In> {
  const client = useQueryClient();
  return useMutation<Out, ApiError, In>({
    mutationFn: change,
    // A key that was sent is not to stay in memory with the mutation.
    gcTime: 0,
    onSuccess: () =>
      Promise.all(stale.map((resource) => client.invalidateQueries({ queryKey: [resource] }))),
  });
}
