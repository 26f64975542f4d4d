import { useAuditEntry, type AuditEntry } from "@/api/node";
import { Badge } from "@/components/Badge";
import { KeyValue } from "@/components/KeyValue";
import { PanelSection, SidePanel } from "@/components/SidePanel";
import { EmptyState, ErrorState, Skeleton } from "@/components/States";
import { dateTime } from "@/format/time";
import { Link } from "@/shell/router";
import { Diff } from "./Diff";
import { actionOf, actorName, kindName, targetPath, viaName } from "./words";

/** One change, before and after. */
export function EntryPanel({ id, onClose }: { id: string; onClose: () => void }) {
  const entry = useAuditEntry(id);
  const { data, error } = entry;
  return (
    <SidePanel
      title={data ? data.target.name || kindName(data.target.kind) : "Change"}
      lead={
        data && (
          <>
            <Badge tone={actionOf(data).tone}>{actionOf(data).label}</Badge>
            <span>{kindName(data.target.kind)}</span>
            <span>{dateTime(data.time)}</span>
          </>
        )
      }
      onClose={onClose}
    >
      {error?.status === 404 && (
        <EmptyState title="There is no such entry">It may be older than what is kept.</EmptyState>
      )}
      {error && error.status !== 404 && (
        <ErrorState error={error} what="this entry" onRetry={() => void entry.refetch()} />
      )}
      {entry.isPending && <Skeleton lines={8} />}
      {data && <Parts entry={data} />}
    </SidePanel>
  );
}

function Parts({ entry }: { entry: AuditEntry }) {
  const path = targetPath(entry);
  const { actor, target } = entry;
  return (
    <>
      <PanelSection title={entry.before && entry.after ? "What changed" : "What it was"}>
        <Diff before={entry.before} after={entry.after} />
      </PanelSection>
      <PanelSection title="Who and where">
        <KeyValue
          rows={[
            ["Who", actorName(entry)],
            ["Known as", <code key="id">{actor.id}</code>],
            ["Role", actor.role],
            ["Through", viaName(actor.via)],
            ["Address", actor.address],
            [
              "What",
              target.id ? (
                path ? (
                  <Link key="target" href={path}>
                    {target.id}
                  </Link>
                ) : (
                  <code key="target">{target.id}</code>
                )
              ) : null,
            ],
            ["Event", <code key="event">{entry.event}</code>],
            ["Entry", entry.id],
            ["Hash of the one before", <code key="hash">{entry.previous}</code>],
          ]}
        />
      </PanelSection>
    </>
  );
}
