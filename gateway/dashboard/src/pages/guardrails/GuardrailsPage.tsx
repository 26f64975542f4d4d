import { EllipsisVertical, Pencil, Plus, SlidersHorizontal, Trash2 } from "lucide-react";
import { guardrails as change } from "@/api/changes";
import { useChange, useGuardrails, usePolicies } from "@/api/queries";
import type { Guardrail } from "@/api/types";
import { Badge } from "@/components/Badge";
import { Button, IconButton } from "@/components/Button";
import { Card } from "@/components/Card";
import { DataTable, type Column } from "@/components/DataTable";
import { Confirm, Dialog } from "@/components/Dialog";
import { Menu } from "@/components/Menu";
import { PageHeader } from "@/components/PageHeader";
import { EmptyState } from "@/components/States";
import { toast } from "@/components/Toast";
import { count, plural } from "@/format/number";
import { relative } from "@/format/time";
import { Link, navigate, useRoute } from "@/shell/router";
import { useWho } from "@/shell/session";
import { GuardrailDialog } from "./GuardrailDialog";
import css from "./GuardrailsPage.module.css";

/** `/guardrails`, and over it `/new`, `/<id>` and `/<id>/remove`. */
export default function GuardrailsPage() {
  const guardrails = useGuardrails();
  const policies = usePolicies();
  const { mayChange } = useWho();
  const users = (guardrail: Guardrail) =>
    policies.data?.filter((policy) => policy.guardrail_ids.includes(guardrail.id)).length ?? 0;
  const columns: Column<Guardrail>[] = [
    {
      id: "name",
      header: "Name",
      name: true,
      sort: (guardrail) => guardrail.name,
      cell: (guardrail) => (
        <span className={css.name}>
          <strong>{guardrail.name}</strong>
          {guardrail.description && <span>{guardrail.description}</span>}
        </span>
      ),
    },
    {
      id: "checks",
      header: "Does",
      grow: true,
      cell: (guardrail) => (
        <span className={css.checks}>
          {checks(guardrail).map((check) => (
            <Badge key={check}>{check}</Badge>
          ))}
        </span>
      ),
    },
    {
      id: "policies",
      header: "Used by",
      from: 640,
      sort: users,
      cell: (guardrail) => (
        <span className={users(guardrail) === 0 ? css.quiet : css.nowrap}>
          {users(guardrail) === 0 ? "No policy" : plural(users(guardrail), "policy", "policies")}
        </span>
      ),
    },
    {
      id: "updated",
      header: "Changed",
      from: 900,
      sort: (guardrail) => guardrail.updated_at,
      cell: (guardrail) => (
        <span className={css.nowrap} title={guardrail.updated_at}>
          {relative(guardrail.updated_at)}
        </span>
      ),
    },
    {
      id: "actions",
      header: <span className="visually-hidden">Actions</span>,
      align: "end",
      cell: (guardrail) =>
        mayChange && (
          <Menu
            trigger={
              <IconButton label={`Actions for ${guardrail.name}`}>
                <EllipsisVertical />
              </IconButton>
            }
            items={[
              {
                label: "Edit",
                icon: <Pencil />,
                onSelect: () => navigate(`/guardrails/${guardrail.id}`),
              },
              {
                label: "Remove",
                icon: <Trash2 />,
                danger: true,
                onSelect: () => navigate(`/guardrails/${guardrail.id}/remove`),
              },
            ]}
          />
        ),
    },
  ];
  const create = mayChange && (
    <Button look="primary" icon={<Plus />} onClick={() => navigate("/guardrails/new")}>
      New guardrail
    </Button>
  );
  return (
    <>
      <PageHeader title="Guardrails" actions={create}>
        What policies let through, keep of prompts, and bound. They work in the policies that name
        them.
      </PageHeader>
      <Card flush>
        <DataTable
          label="guardrails"
          columns={columns}
          rows={guardrails.data}
          rowKey={(guardrail) => guardrail.id}
          {...(mayChange ? { href: (guardrail: Guardrail) => `/guardrails/${guardrail.id}` } : {})}
          error={guardrails.error}
          onRetry={() => void guardrails.refetch()}
          empty={
            <EmptyState icon={<SlidersHorizontal />} title="No guardrails yet" action={create}>
              A guardrail allows certain models only, keeps prompts for review, or bounds how long
              answers may be.
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
  const guardrails = useGuardrails();
  const [id, action] = rest;
  const close = () => navigate("/guardrails");
  if (id === undefined) return null;
  if (id === "new") return <GuardrailDialog onClose={close} />;
  const guardrail = guardrails.data?.find((one) => one.id === id);
  if (!guardrail) return null;
  if (action === "remove") return <RemoveDialog guardrail={guardrail} onClose={close} />;
  return <GuardrailDialog key={id} guardrail={guardrail} onClose={close} />;
}

function RemoveDialog({ guardrail, onClose }: { guardrail: Guardrail; onClose: () => void }) {
  const remove = useChange(change.remove, "guardrails");
  const policies = usePolicies();
  const users =
    policies.data?.filter((policy) => policy.guardrail_ids.includes(guardrail.id)) ?? [];
  if (users.length > 0) {
    return (
      <Dialog
        open
        onClose={onClose}
        size="s"
        title={`${guardrail.name} is in use`}
        footer={<Button onClick={onClose}>Close</Button>}
      >
        <p>Take it out of these policies first:</p>
        <ul className={css.users}>
          {users.map((policy) => (
            <li key={policy.id}>
              <Link href={`/policies/${policy.id}`}>{policy.name}</Link>
            </li>
          ))}
        </ul>
      </Dialog>
    );
  }
  return (
    <Confirm
      open
      onClose={onClose}
      title={`Remove ${guardrail.name}?`}
      action="Remove guardrail"
      busy={remove.isPending}
      error={remove.error?.message}
      onConfirm={() =>
        remove.mutate(guardrail.id, {
          onSuccess: () => {
            toast(`${guardrail.name} is removed`);
            onClose();
          },
        })
      }
    >
      <p>No policy uses it.</p>
    </Confirm>
  );
}

function checks({ checks }: Guardrail): string[] {
  const { model_allowlist: models, prompt_capture: capture, output_limit: output } = checks;
  return [
    models.enabled && `allows ${plural(models.models.length, "model")}`,
    capture.enabled && `keeps prompts${capture.redact_pii ? ", redacted" : ""}`,
    output.enabled && `at most ${count(output.max_tokens)} tokens out`,
  ].filter((check) => check !== false);
}
