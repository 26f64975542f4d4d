import { EllipsisVertical, HelpCircle, Pencil, Plus, ShieldCheck, Trash2 } from "lucide-react";
import { policies as change } from "@/api/changes";
import { useChange, useGroups, useGuardrails, usePolicies, useProviders } from "@/api/queries";
import type { Policy } from "@/api/types";
import { Badge } from "@/components/Badge";
import { Button, IconButton } from "@/components/Button";
import { Card } from "@/components/Card";
import { DataTable, type Column } from "@/components/DataTable";
import { Confirm } from "@/components/Dialog";
import { SearchInput } from "@/components/Input";
import { Menu } from "@/components/Menu";
import { PageHeader } from "@/components/PageHeader";
import { EmptyState } from "@/components/States";
import { Switch } from "@/components/Switch";
import { toast } from "@/components/Toast";
import { navigate, useParameter, useRoute } from "@/shell/router";
import { useWho } from "@/shell/session";
import { summaries } from "../limits/limits";
import { ExplainDialog } from "./ExplainDialog";
import css from "./PoliciesPage.module.css";
import { PolicyDialog } from "./PolicyDialog";

/** `/policies`, and over it `/new`, `/explain`, `/<id>` and `/<id>/remove`. */
export default function PoliciesPage() {
  const policies = usePolicies();
  const providers = useProviders();
  const guardrails = useGuardrails();
  const groups = useGroups();
  const { mayChange } = useWho();
  const [search, setSearch] = useParameter("q");
  const group = (id: string) => groups.data?.find((one) => one.id === id)?.name ?? id;
  const provider = (id: string) => providers.data?.find((one) => one.id === id)?.name ?? id;
  const guardrail = (id: string) => guardrails.data?.find((one) => one.id === id)?.name ?? id;
  const columns: Column<Policy>[] = [
    {
      id: "name",
      header: "Name",
      name: true,
      sort: (policy) => policy.name,
      cell: (policy) => (
        <span className={css.name}>
          <strong>{policy.name}</strong>
          {policy.description && <span>{policy.description}</span>}
        </span>
      ),
    },
    {
      id: "groups",
      header: "Groups",
      cell: (policy) => <Names names={policy.source_groups.map(group)} />,
    },
    {
      id: "providers",
      header: "Providers",
      cell: (policy) => <Names names={policy.destination_provider_ids.map(provider)} />,
    },
    {
      id: "guardrails",
      header: "Guardrails",
      from: 900,
      cell: (policy) => <Names names={policy.guardrail_ids.map(guardrail)} />,
    },
    {
      id: "limits",
      header: "Limits",
      from: 900,
      grow: true,
      cell: (policy) => <LimitsCell policy={policy} />,
    },
    {
      id: "enabled",
      header: "Enabled",
      cell: (policy) => <Enabled policy={policy} mayChange={mayChange} />,
    },
    {
      id: "actions",
      header: <span className="visually-hidden">Actions</span>,
      align: "end",
      cell: (policy) =>
        mayChange && (
          <Menu
            trigger={
              <IconButton label={`Actions for ${policy.name}`}>
                <EllipsisVertical />
              </IconButton>
            }
            items={[
              {
                label: "Edit",
                icon: <Pencil />,
                onSelect: () => navigate(`/policies/${policy.id}`),
              },
              {
                label: "Remove",
                icon: <Trash2 />,
                danger: true,
                onSelect: () => navigate(`/policies/${policy.id}/remove`),
              },
            ]}
          />
        ),
    },
  ];
  const create = mayChange && (
    <Button look="primary" icon={<Plus />} onClick={() => navigate("/policies/new")}>
      New policy
    </Button>
  );
  return (
    <>
      <PageHeader
        title="Policies"
        actions={
          <>
            <Button icon={<HelpCircle />} onClick={() => navigate("/policies/explain")}>
              Explain a request
            </Button>
            {create}
          </>
        }
      >
        Who may reach which provider, within which limits. Without a policy nobody may anything.
      </PageHeader>
      <Card
        flush
        title="Policies"
        actions={
          (policies.data?.length ?? 0) > 0 && (
            <SearchInput label="Search policies" value={search} onChange={setSearch} />
          )
        }
      >
        <DataTable
          label="policies"
          columns={columns}
          rows={policies.data}
          rowKey={(policy) => policy.id}
          {...(mayChange ? { href: (policy: Policy) => `/policies/${policy.id}` } : {})}
          error={policies.error}
          onRetry={() => void policies.refetch()}
          search={{
            value: search,
            text: (policy) =>
              [
                policy.name,
                policy.description,
                ...policy.source_groups.map(group),
                ...policy.destination_provider_ids.map(provider),
              ].join(" "),
          }}
          empty={
            <EmptyState icon={<ShieldCheck />} title="Nobody may anything yet" action={create}>
              A policy opens providers to groups of peers. Give the first one a group and a
              provider, and its agents can send requests.
            </EmptyState>
          }
        />
      </Card>
      <Dialogs />
    </>
  );
}

function Dialogs() {
  const { rest } = useRoute();
  const policies = usePolicies();
  const remove = useChange(change.remove, "policies");
  const [id, action] = rest;
  const close = () => navigate("/policies");
  if (id === undefined) return null;
  if (id === "explain") return <ExplainDialog onClose={close} />;
  if (id === "new") return <PolicyDialog onClose={close} />;
  const policy = policies.data?.find((one) => one.id === id);
  if (!policy) return null;
  if (action !== "remove") return <PolicyDialog key={id} policy={policy} onClose={close} />;
  return (
    <Confirm
      open
      onClose={close}
      title={`Remove ${policy.name}?`}
      action="Remove policy"
      busy={remove.isPending}
      error={remove.error?.message}
      onConfirm={() =>
        remove.mutate(policy.id, {
          onSuccess: () => {
            toast(`${policy.name} is removed`);
            close();
          },
        })
      }
    >
      <p>Peers that reach providers by no other policy are refused from their next request on.</p>
    </Confirm>
  );
}

/** The first two; the others on hover. */
function Names({ names }: { names: readonly string[] }) {
  if (names.length === 0) return <span className={css.quiet}>—</span>;
  return (
    <span className={css.names} title={names.join("\n")}>
      {names.slice(0, 2).map((name) => (
        <Badge key={name}>{name}</Badge>
      ))}
      {names.length > 2 && <span className={css.quiet}>+{names.length - 2}</span>}
    </span>
  );
}

function LimitsCell({ policy }: { policy: Policy }) {
  const lines = summaries(policy.limits);
  if (lines.length === 0) return <span className={css.quiet}>None</span>;
  return (
    <span className={css.limits} title={lines.join("\n")}>
      {policy.limits.mode === "hard" && <Badge tone="accent">hard</Badge>}
      <span>
        {lines[0]}
        {lines.length > 1 && <span className={css.quiet}> +{lines.length - 1}</span>}
      </span>
    </span>
  );
}

function Enabled({ policy, mayChange }: { policy: Policy; mayChange: boolean }) {
  const toggle = useChange(change.update, "policies");
  const isShown = toggle.isPending ? toggle.variables.body.enabled === true : policy.enabled;
  return (
    <Switch
      hideLabel
      label={`${policy.name} is enabled`}
      checked={isShown}
      disabled={toggle.isPending || !mayChange}
      onChange={(enabled) => {
        const { id, created_at: _created, updated_at: _updated, ...body } = policy;
        toggle.mutate(
          { id, body: { ...body, enabled } },
          {
            onSuccess: () => toast(`${policy.name} is ${enabled ? "enabled" : "disabled"}`),
            onError: (error) => toast(error.message, "bad"),
          },
        );
      }}
    />
  );
}
