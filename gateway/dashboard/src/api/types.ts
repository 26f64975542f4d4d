/** What the management API takes and gives, by the names of its OpenAPI document (`npm run types`). */

import type { components } from "./schema";

type Schemas = components["schemas"];

export type Id = string;
/** RFC 3339. */
export type Time = string;

export type Session = Schemas["Session"];
export type Role = Schemas["Role"];

export type CatalogEntry = Schemas["CatalogProvider"];
export type CatalogModel = Schemas["CatalogModel"];
export type Surface = Schemas["PricingSurface"];
export type Kind = Schemas["CatalogKind"];

export type Provider = Schemas["Provider"];
export type ProviderRequest = Schemas["ProviderRequest"];
/** As stored; a price that is left out is the catalog's. */
export type Model = Partial<Omit<Schemas["ProviderModel"], "unpriced">> & { id: string };
export type ProviderRateLimit = Schemas["ProviderRateLimit"];
export type ProviderKey = Schemas["ProviderKey"];
export type TestReport = Schemas["TestReport"];
export type DiscoverRequest = Schemas["DiscoverRequest"];
export type DiscoveredModels = Schemas["DiscoveredModels"];
export type DiscoveredModel = Schemas["DiscoveredModel"];

export type Policy = Schemas["Policy"];
export type PolicyRequest = Schemas["PolicyRequest"];
export type Guardrail = Schemas["Guardrail"];
export type GuardrailRequest = Schemas["GuardrailRequest"];
export type BudgetRule = Schemas["BudgetRule"];
export type BudgetRuleRequest = Schemas["BudgetRuleRequest"];
export type Limits = Schemas["Limits"];
export type LimitMode = Schemas["LimitMode"];

export type ExplainRequest = Schemas["ExplainRequest"];
export type Explanation = Schemas["ExplainAnswer"];
export type Charged = Schemas["Charged"];
export type PolicyState = Schemas["PolicyState"];
export type ProviderState = Schemas["ProviderState"];

export type Levels = Schemas["LimitLevels"];
export type Level = Schemas["LimitLevel"];
export type LevelCap = Schemas["LimitCap"];

export type Settings = Schemas["Settings"];
export type NodeStatus = Schemas["NodeStatus"];
export type ProviderStatus = Schemas["ProviderStatus"];
export type Group = Schemas["Group"];
export type Named = Schemas["Named"];
/** The document names no list of the sources there are. */
export type Peer = Omit<Schemas["Peer"], "source"> & {
  source: "static" | "netbird" | "wireguard";
};

export type AgentConfigs = Schemas["AgentConfigs"];
export type AgentConfig = Schemas["AgentConfig"];
