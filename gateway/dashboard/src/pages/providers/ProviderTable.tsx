import type { UseQueryResult } from "@tanstack/react-query";
import { Activity, EllipsisVertical, KeyRound, Pencil, Plug, Plus, Trash2 } from "lucide-react";
import { providers as change, testProvider } from "@/api/changes";
import type { ApiError } from "@/api/http";
import { useChange } from "@/api/queries";
import type { CatalogEntry, Policy, Provider, ProviderStatus } from "@/api/types";
import { Status, type Tone } from "@/components/Badge";
import { Button, IconButton } from "@/components/Button";
import { DataTable, type Column } from "@/components/DataTable";
import { Mark } from "@/components/Mark";
import { Menu } from "@/components/Menu";
import { EmptyState } from "@/components/States";
import { Switch } from "@/components/Switch";
import { toast } from "@/components/Toast";
import { duration } from "@/format/time";
import { plural } from "@/format/number";
import { navigate } from "@/shell/router";
import { useWho } from "@/shell/session";
import { requestFrom } from "./draft";
import css from "./ProviderTable.module.css";

interface Props {
  providers: UseQueryResult<Provider[], ApiError>;
  entries: ReadonlyMap<string, CatalogEntry>;
  policies: readonly Policy[];
  states: readonly ProviderStatus[];
  search: string;
}

export function ProviderTable({ providers, entries, policies, states, search }: Props) {
  const { mayChange } = useWho();
  const kind = (provider: Provider) =>
    entries.get(provider.provider_id)?.name ?? provider.provider_id;
  const users = (provider: Provider) =>
    policies.filter((policy) => policy.destination_provider_ids.includes(provider.id));
  const state = (provider: Provider) => states.find((one) => one.id === provider.id);
  const columns: Column<Provider>[] = [
    {
      id: "name",
      header: "Name",
      name: true,
      grow: true,
      sort: (provider) => provider.name,
      cell: (provider) => (
        <span className={css.name}>
          <Mark
            name={kind(provider)}
            color={entries.get(provider.provider_id)?.brand_color ?? "#888888"}
          />
          <span>
            <strong>{provider.name}</strong>
            <span className={css.detail}>
              {kind(provider)} · {provider.upstream_url.replace(/^https:\/\//, "")}
            </span>
          </span>
        </span>
      ),
    },
    {
      id: "models",
      header: "Models",
      from: 640,
      sort: (provider) => provider.models.length,
      cell: (provider) =>
        provider.models.length === 0 ? (
          <span className={css.quiet}>All models</span>
        ) : (
          <span className={css.nowrap} title={provider.models.map((model) => model.id).join("\n")}>
            {provider.models.length} configured
          </span>
        ),
    },
    {
      id: "status",
      header: "Status",
      sort: (provider) => health(provider, state(provider)).word,
      cell: (provider) => <Health {...health(provider, state(provider))} />,
    },
    {
      id: "policies",
      header: "Opened by",
      from: 900,
      sort: (provider) => users(provider).length,
      cell: (provider) => {
        const count = users(provider).length;
        return (
          <span className={count === 0 ? css.quiet : css.nowrap}>
            {count === 0 ? "No policy" : plural(count, "policy", "policies")}
          </span>
        );
      },
    },
    ...(mayChange
      ? [
          {
            id: "enabled",
            header: "Enabled",
            cell: (provider) => <Enabled provider={provider} />,
          } satisfies Column<Provider>,
        ]
      : []),
    {
      id: "actions",
      header: <span className="visually-hidden">Actions</span>,
      align: "end",
      cell: (provider) => <Actions provider={provider} mayChange={mayChange} />,
    },
  ];
  return (
    <DataTable
      label="providers"
      columns={columns}
      rows={providers.data}
      rowKey={(provider) => provider.id}
      {...(mayChange ? { href: (provider: Provider) => `/providers/${provider.id}` } : {})}
      error={providers.error}
      onRetry={() => void providers.refetch()}
      search={{
        value: search,
        text: (provider) => `${provider.name} ${kind(provider)} ${provider.upstream_url}`,
      }}
      empty={<NoProviders mayChange={mayChange} />}
    />
  );
}

function NoProviders({ mayChange }: { mayChange: boolean }) {
  return (
    <EmptyState
      icon={<Plug />}
      title="Connect a provider"
      action={
        mayChange && (
          <Button look="primary" icon={<Plus />} onClick={() => navigate("/providers/new")}>
            Connect provider
          </Button>
        )
      }
    >
      Give the node a vendor's key once. Agents on the overlay then call that vendor through the
      endpoint, without ever holding the key, as far as your policies let them.
    </EmptyState>
  );
}

interface HealthState {
  tone: Tone;
  word: string;
  problem?: string | undefined;
}

function health(provider: Provider, state: ProviderStatus | undefined): HealthState {
  if (!provider.enabled) return { tone: "neutral", word: "Disabled" };
  if (!state) return { tone: "neutral", word: "Waiting" };
  if (state.ready) return { tone: "ok", word: "Ready", problem: state.problem };
  return {
    tone: "bad",
    word: "Not ready",
    problem: state.problem ?? "No address or key can be used",
  };
}

function Health({ tone, word, problem }: HealthState) {
  return (
    <span className={css.health}>
      <Status tone={tone}>{word}</Status>
      {problem && <span className={css.problem}>{problem}</span>}
    </span>
  );
}

function Enabled({ provider }: { provider: Provider }) {
  const toggle = useChange(change.update, "providers", "status");
  const isShown = toggle.isPending ? toggle.variables.body.enabled === true : provider.enabled;
  return (
    <Switch
      hideLabel
      label={`${provider.name} is enabled`}
      checked={isShown}
      disabled={toggle.isPending}
      onChange={(enabled) =>
        toggle.mutate(
          { id: provider.id, body: { ...requestFrom(provider), enabled } },
          {
            onSuccess: () => toast(`${provider.name} is ${enabled ? "enabled" : "disabled"}`),
            onError: (error) => toast(error.message, "bad"),
          },
        )
      }
    />
  );
}

function Actions({ provider, mayChange }: { provider: Provider; mayChange: boolean }) {
  const test = useChange(testProvider, "status");
  const at = (action: string) => () => navigate(`/providers/${provider.id}${action}`);
  const run = () =>
    test.mutate(provider.id, {
      onSuccess: (report) =>
        report.ok
          ? toast(`${provider.name} answers (${duration(report.duration_ms)})`)
          : toast([report.message, report.remedy].filter(Boolean).join(". "), "bad"),
      onError: (error) => toast(error.message, "bad"),
    });
  if (!mayChange) return null;
  return (
    <Menu
      trigger={
        <IconButton label={`Actions for ${provider.name}`}>
          <EllipsisVertical />
        </IconButton>
      }
      items={[
        { label: "Edit", icon: <Pencil />, onSelect: at("") },
        { label: "Test connection", icon: <Activity />, disabled: test.isPending, onSelect: run },
        { label: "Rotate key", icon: <KeyRound />, onSelect: at("/key") },
        { label: "Remove", icon: <Trash2 />, danger: true, onSelect: at("/remove") },
      ]}
    />
  );
}
