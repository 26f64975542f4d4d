import { useState } from "react";
import { budgetRules as change } from "@/api/changes";
import { useChange, useGroups, usePeers, useTagged } from "@/api/queries";
import type { BudgetRule, BudgetRuleRequest } from "@/api/types";
import { Button } from "@/components/Button";
import { Dialog } from "@/components/Dialog";
import { Field } from "@/components/Field";
import { TextInput } from "@/components/Input";
import { MultiSelect } from "@/components/MultiSelect";
import { Notice } from "@/components/Notice";
import { toast } from "@/components/Toast";
import { editable, noLimits } from "./limits";
import { LimitsFields } from "./LimitsFields";

export function BudgetRuleDialog({ rule, onClose }: { rule?: BudgetRule; onClose: () => void }) {
  const stored = useTagged<BudgetRule>("budget-rules", rule?.id);
  const groups = useGroups();
  const peers = usePeers();
  const [name, setName] = useState(rule?.name ?? "");
  const [targetGroups, setTargetGroups] = useState(rule?.target_groups ?? []);
  const [targetUsers, setTargetUsers] = useState(rule?.target_users ?? []);
  const [limits, setLimits] = useState(() => (rule ? editable(rule.limits) : noLimits()));
  const [isTried, setTried] = useState(false);
  const save = useChange(
    (body: BudgetRuleRequest) =>
      rule
        ? change.update({ id: rule.id, body, ifMatch: stored.data?.etag ?? null })
        : change.create(body),
    "budget-rules",
    "groups",
    "limits",
  );
  const at = (field: string) =>
    save.error?.field?.startsWith(field) ? save.error.message : undefined;
  const noName = name.trim() ? undefined : "A name to tell it from others";
  const finish = () => {
    setTried(true);
    if (noName) return;
    save.mutate(
      {
        name: name.trim(),
        enabled: rule?.enabled ?? true,
        target_groups: targetGroups,
        target_users: targetUsers,
        limits,
      },
      {
        onSuccess: (saved) => {
          toast(rule ? `${saved.name} is changed` : `${saved.name} is made`);
          onClose();
        },
      },
    );
  };
  const users = new Map(
    peers.data?.flatMap((peer) =>
      peer.user_id ? [[peer.user_id, peer.user_email ?? peer.user_id] as const] : [],
    ),
  );
  return (
    <Dialog
      open
      keepOnOutsideClick
      onClose={onClose}
      size="l"
      title={rule ? `Edit ${rule.name}` : "New budget rule"}
      description="It holds beside the limits of whichever policy pays."
      onSubmit={finish}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button look="primary" type="submit" busy={save.isPending}>
            {rule ? "Save" : "Make rule"}
          </Button>
        </>
      }
    >
      {save.error && <Notice tone="bad">{save.error.message}</Notice>}
      <Field label="Name" error={(isTried && noName) || at("name")}>
        {(control) => (
          <TextInput
            {...control}
            autoFocus
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        )}
      </Field>
      <Field
        label="Groups"
        optional
        hint="Without groups and users the rule is for everybody."
        error={at("target_groups")}
      >
        {(control) => (
          <MultiSelect
            control={control}
            label="Groups"
            free
            options={(groups.data ?? []).map((group) => ({ value: group.id, label: group.name }))}
            values={targetGroups}
            onChange={setTargetGroups}
            placeholder="Add a group"
          />
        )}
      </Field>
      <Field label="Users" optional error={at("target_users")}>
        {(control) => (
          <MultiSelect
            control={control}
            label="Users"
            free
            options={[...users].map(([value, label]) => ({ value, label }))}
            values={targetUsers}
            onChange={setTargetUsers}
            placeholder="Add a user's id"
          />
        )}
      </Field>
      <LimitsFields value={limits} onChange={setLimits} error={save.error} />
    </Dialog>
  );
}
