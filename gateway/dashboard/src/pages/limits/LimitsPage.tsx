import { EllipsisVertical, Gauge, Pencil, Plus, Trash2 } from "lucide-react";
import { budgetRules as change } from "@/api/changes";
import { useBudgetRules, useChange, useLevels } from "@/api/queries";
import { Button, IconButton } from "@/components/Button";
import { Badge } from "@/components/Badge";
import { Card } from "@/components/Card";
import { DataTable, type Column } from "@/components/DataTable";
import { Confirm } from "@/components/Dialog";
import { Menu } from "@/components/Menu";
import { PageHeader } from "@/components/PageHeader";
import { EmptyState } from "@/components/States";
import { Switch } from "@/components/Switch";
import { toast } from "@/components/Toast";
import type { BudgetRule } from "@/api/types";
import { plural } from "@/format/number";
import { navigate, useRoute } from "@/shell/router";
import { useWho } from "@/shell/session";
import { BudgetRuleDialog } from "./BudgetRuleDialog";
import { LevelTable } from "./LevelTable";
import { summaries } from "./limits";
import css from "./LimitsPage.module.css";

/** `/limits`, and over it `/new`, `/<rule id>` and `/<rule id>/remove`. */
export default function LimitsPage() {
  const levels = useLevels();
  const rules = useBudgetRules();
  const { mayChange } = useWho();
  const create = mayChange && (
    <Button look="primary" icon={<Plus />} onClick={() => navigate("/limits/new")}>
      New budget rule
    </Button>
  );
  return (
    <>
      <PageHeader title="Limits" actions={create}>
        How full every bucket is that a limit counts into. What requests in flight may need counts
        as spent until they have ended.
      </PageHeader>
      <LevelTable levels={levels} />
      <Card flush title="Budget rules">
        <DataTable
          label="budget rules"
          columns={columns(mayChange)}
          rows={rules.data}
          rowKey={(rule) => rule.id}
          {...(mayChange ? { href: (rule: BudgetRule) => `/limits/${rule.id}` } : {})}
          error={rules.error}
          onRetry={() => void rules.refetch()}
          empty={
            <EmptyState icon={<Gauge />} title="No budget rules yet" action={create}>
              A rule limits the account, some groups or some users whatever policy pays: a ceiling
              above all of them.
            </EmptyState>
          }
        />
      </Card>
      <Dialogs />
    </>
  );
}

function columns(mayChange: boolean): Column<BudgetRule>[] {
  return [
    {
      id: "name",
      header: "Name",
      name: true,
      sort: (rule) => rule.name,
      cell: (rule) => <strong className={css.name}>{rule.name}</strong>,
    },
    {
      id: "targets",
      header: "For",
      from: 640,
      cell: (rule) => <span className={css.nowrap}>{targets(rule)}</span>,
    },
    {
      id: "limits",
      header: "Limits",
      grow: true,
      cell: (rule) => {
        const lines = summaries(rule.limits);
        return (
          <span className={css.lines}>
            {rule.limits.mode === "hard" && lines.length > 0 && <Badge tone="accent">hard</Badge>}
            {lines.length === 0 ? "None" : lines.join("; ")}
          </span>
        );
      },
    },
    {
      id: "enabled",
      header: "Enabled",
      cell: (rule) => <Enabled rule={rule} mayChange={mayChange} />,
    },
    {
      id: "actions",
      header: <span className="visually-hidden">Actions</span>,
      align: "end",
      cell: (rule) =>
        mayChange && (
          <Menu
            trigger={
              <IconButton label={`Actions for ${rule.name}`}>
                <EllipsisVertical />
              </IconButton>
            }
            items={[
              { label: "Edit", icon: <Pencil />, onSelect: () => navigate(`/limits/${rule.id}`) },
              {
                label: "Remove",
                icon: <Trash2 />,
                danger: true,
                onSelect: () => navigate(`/limits/${rule.id}/remove`),
              },
            ]}
          />
        ),
    },
  ];
}

function Dialogs() {
  const { rest } = useRoute();
  const rules = useBudgetRules();
  const remove = useChange(change.remove, "budget-rules", "limits");
  const [id, action] = rest;
  const close = () => navigate("/limits");
  if (id === undefined) return null;
  if (id === "new") return <BudgetRuleDialog onClose={close} />;
  const rule = rules.data?.find((one) => one.id === id);
  if (!rule) return null;
  if (action !== "remove") return <BudgetRuleDialog key={id} rule={rule} onClose={close} />;
  return (
    <Confirm
      open
      onClose={close}
      title={`Remove ${rule.name}?`}
      action="Remove rule"
      busy={remove.isPending}
      error={remove.error?.message}
      onConfirm={() =>
        remove.mutate(rule.id, {
          onSuccess: () => {
            toast(`${rule.name} is removed`);
            close();
          },
        })
      }
    >
      <p>What it counted is forgotten, and nothing holds its callers to its caps any more.</p>
    </Confirm>
  );
}

function targets({ target_groups: groups, target_users: users }: BudgetRule): string {
  if (groups.length === 0 && users.length === 0) return "Everybody";
  return [
    groups.length > 0 && plural(groups.length, "group"),
    users.length > 0 && plural(users.length, "user"),
  ]
    .filter(Boolean)
    .join(", ");
}

function Enabled({ rule, mayChange }: { rule: BudgetRule; mayChange: boolean }) {
  const toggle = useChange(change.update, "budget-rules", "limits");
  const isShown = toggle.isPending ? toggle.variables.body.enabled === true : rule.enabled;
  return (
    <Switch
      hideLabel
      label={`${rule.name} is enabled`}
      checked={isShown}
      disabled={toggle.isPending || !mayChange}
      onChange={(enabled) => {
        const { id, created_at: _created, updated_at: _updated, ...body } = rule;
        toggle.mutate(
          { id, body: { ...body, enabled } },
          {
            onSuccess: () => toast(`${rule.name} is ${enabled ? "enabled" : "disabled"}`),
            onError: (error) => toast(error.message, "bad"),
          },
        );
      }}
    />
  );
}
