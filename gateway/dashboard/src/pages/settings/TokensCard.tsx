import { Plus, Trash2 } from "lucide-react";
import { useMemo, useState } from "react";
import { useTokens, type Token } from "@/api/node";
import { remove } from "@/api/http";
import { useChange } from "@/api/queries";
import type { Id } from "@/api/types";
import { Badge } from "@/components/Badge";
import { Button, IconButton } from "@/components/Button";
import { Card } from "@/components/Card";
import { DataTable, type Column } from "@/components/DataTable";
import { Confirm } from "@/components/Dialog";
import { EmptyState } from "@/components/States";
import { toast } from "@/components/Toast";
import { date, relative } from "@/format/time";
import css from "./settings.module.css";
import { TokenDialog } from "./TokenDialog";

/** Access to the management API over the network; only an owner sees it. */
export function TokensCard({ isOwner }: { isOwner: boolean }) {
  if (!isOwner) {
    return (
      <Card title="Tokens">
        <p className={css.text}>Only an owner sees and makes tokens.</p>
      </Card>
    );
  }
  return <Tokens />;
}

function Tokens() {
  const tokens = useTokens();
  const [isCreating, setCreating] = useState(false);
  const [revoked, setRevoked] = useState<Token | null>(null);
  const columns = useMemo(() => tokenColumns(setRevoked), []);
  return (
    <Card
      flush
      title="Tokens"
      actions={
        <Button size="s" icon={<Plus />} onClick={() => setCreating(true)}>
          Make a token
        </Button>
      }
    >
      <DataTable
        label="the tokens"
        columns={columns}
        rows={tokens.data}
        rowKey={(token) => token.id}
        error={tokens.error}
        onRetry={() => void tokens.refetch()}
        empty={
          <EmptyState title="No tokens">
            Programs that use the management API need one: Terraform, Prometheus, your own.
          </EmptyState>
        }
      />
      {isCreating && <TokenDialog onClose={() => setCreating(false)} />}
      {revoked && <Revoke token={revoked} onClose={() => setRevoked(null)} />}
    </Card>
  );
}

function Revoke({ token, onClose }: { token: Token; onClose: () => void }) {
  const change = useChange((id: Id) => remove(`/tokens/${id}`), "tokens", "audit");
  return (
    <Confirm
      open
      onClose={onClose}
      title={`Revoke ${token.name}?`}
      action="Revoke token"
      busy={change.isPending}
      error={change.error?.message}
      onConfirm={() =>
        change.mutate(token.id, {
          onSuccess: () => {
            toast(`${token.name} is revoked`);
            onClose();
          },
        })
      }
    >
      <p>Whoever uses it is refused from now on, and sessions that began with it end.</p>
    </Confirm>
  );
}

function tokenColumns(onRevoke: (token: Token) => void): Column<Token>[] {
  return [
    { id: "name", header: "Name", cell: ({ name }) => name, sort: ({ name }) => name, grow: true },
    {
      id: "role",
      header: "Role",
      cell: ({ role }) => <Badge tone={role === "owner" ? "brass" : "neutral"}>{role}</Badge>,
      sort: ({ role }) => role,
    },
    {
      id: "created",
      header: "Made",
      cell: ({ created_at }) => date(created_at),
      sort: ({ created_at }) => created_at,
      from: 640,
    },
    {
      id: "expires",
      header: "Expires",
      cell: ({ expires_at }) => <Expiry time={expires_at} />,
      sort: ({ expires_at }) => expires_at ?? "",
      from: 480,
    },
    {
      id: "revoke",
      header: <span className="visually-hidden">Revoke</span>,
      cell: (token) => (
        <IconButton label={`Revoke ${token.name}`} onClick={() => onRevoke(token)}>
          <Trash2 />
        </IconButton>
      ),
      align: "end",
    },
  ];
}

const SOON_MS = 7 * 86_400_000;

function Expiry({ time }: { time: string | undefined }) {
  if (!time) return <>never</>;
  const left = Date.parse(time) - Date.now();
  if (left < 0) return <Badge tone="bad">expired</Badge>;
  if (left < SOON_MS) return <Badge tone="warn">{relative(time)}</Badge>;
  return <>{date(time)}</>;
}
