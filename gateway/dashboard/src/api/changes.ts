/** What the pages change. Each call takes the whole document: PUT replaces. */

import { post, put, remove } from "./http";
import type {
  BudgetRule,
  BudgetRuleRequest,
  DiscoveredModels,
  DiscoverRequest,
  ExplainRequest,
  Explanation,
  Guardrail,
  GuardrailRequest,
  Id,
  Policy,
  PolicyRequest,
  Provider,
  ProviderKey,
  ProviderRequest,
  TestReport,
} from "./types";

/** With the revision that it was read at, where somebody else's change should not be lost. */
export interface Changed<T> {
  id: Id;
  body: T;
  ifMatch?: string | null;
}

function resource<T, Request>(path: string) {
  return {
    create: (body: Request) => post<T>(path, body),
    update: ({ id, body, ifMatch }: Changed<Request>) =>
      put<T>(`${path}/${id}`, body, ifMatch ? { ifMatch } : {}),
    remove: (id: Id) => remove(`${path}/${id}`),
  };
}

export const providers = resource<Provider, ProviderRequest>("/providers");
export const policies = resource<Policy, PolicyRequest>("/policies");
export const guardrails = resource<Guardrail, GuardrailRequest>("/guardrails");
export const budgetRules = resource<BudgetRule, BudgetRuleRequest>("/budget-rules");

/** A stored provider, as the workers have it. */
export const testProvider = (id: Id) => post<TestReport>(`/providers/${id}/test`, {});

/** One that is not stored yet, or a stored one (`id`) with changes that are not. */
export const testDraft = (draft: ProviderRequest) => post<TestReport>("/providers/test", draft);

export const discoverModels = (request: DiscoverRequest) =>
  post<DiscoveredModels>("/catalog/providers/models", request);

export const rotateKey = ({ id, key }: { id: Id; key: string }) =>
  post<ProviderKey[]>(`/providers/${id}/keys`, { api_key: key });

export const explain = (request: ExplainRequest) => post<Explanation>("/policies/explain", request);
