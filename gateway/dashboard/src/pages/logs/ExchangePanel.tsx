import { ScanSearch } from "lucide-react";
import { useNames } from "@/api/names";
import { useExchange, type Exchange } from "@/api/usage";
import { Badge, Status } from "@/components/Badge";
import { Copy } from "@/components/Copy";
import { Notice } from "@/components/Notice";
import { PanelSection, SidePanel } from "@/components/SidePanel";
import { EmptyState, ErrorState, Skeleton } from "@/components/States";
import { dateTime, duration } from "@/format/time";
import { Attempts } from "./Attempts";
import { CostTable } from "./CostTable";
import { Facts } from "./Facts";
import { Texts } from "./Texts";
import { flagWords, OUTCOMES, reasonWords, statusTone, why } from "./words";
import { Waterfall } from "./Waterfall";
import css from "./ExchangePanel.module.css";

/** One request with everything that is known about it. */
export function ExchangePanel({ id, onClose }: { id: string; onClose: () => void }) {
  const exchange = useExchange(id);
  const { data } = exchange;
  return (
    <SidePanel
      title={data ? data.model || data.path : "Request"}
      lead={data && <Lead exchange={data} />}
      onClose={onClose}
    >
      {exchange.error?.status === 404 && (
        <EmptyState icon={<ScanSearch />} title="Not in the log">
          It may be older than what is kept, or still on its way here.
        </EmptyState>
      )}
      {exchange.error && exchange.error.status !== 404 && (
        <ErrorState
          error={exchange.error}
          what="this request"
          onRetry={() => void exchange.refetch()}
        />
      )}
      {exchange.isPending && <Skeleton lines={10} />}
      {data && <Parts exchange={data} />}
    </SidePanel>
  );
}

function Lead({ exchange }: { exchange: Exchange }) {
  return (
    <>
      <Status tone={statusTone(exchange)}>
        {exchange.status_code || "No answer"} · {OUTCOMES[exchange.outcome]?.label}
      </Status>
      <span>{dateTime(exchange.timestamp)}</span>
      <span>{duration(exchange.duration_ms)}</span>
    </>
  );
}

function Parts({ exchange }: { exchange: Exchange }) {
  const names = useNames();
  const reason = why(exchange);
  return (
    <>
      {exchange.decision === "deny" && (
        <Notice tone="warn" title={`Denied: ${reasonWords(exchange.reason)}`}>
          The agent got {exchange.status_code} with the code <code>{exchange.deny_reason}</code>.
          Policies can explain what would have to change.
        </Notice>
      )}
      {exchange.decision !== "deny" && reason && exchange.outcome !== "answered" && (
        <Notice tone="bad" title={reason}>
          {OUTCOMES[exchange.outcome]?.label}, code <code>{exchange.reason}</code>.
        </Notice>
      )}
      {exchange.response_flags.length > 0 && (
        <ul className={css.flags} aria-label="Flags">
          {exchange.response_flags.map((flag) => (
            <li key={flag}>
              <Badge>{flag}</Badge> {flagWords(flag)}
            </li>
          ))}
        </ul>
      )}
      <PanelSection title="Time">
        <Waterfall timeline={exchange.timeline} />
        <Attempts attempts={exchange.attempts} />
      </PanelSection>
      <PanelSection title="Tokens and cost">
        <CostTable exchange={exchange} />
      </PanelSection>
      <Texts exchange={exchange} />
      <Facts exchange={exchange} names={names} />
      <footer className={css.foot}>
        <span>
          Request <code>req_{exchange.id}</code>
        </span>
        <Copy text={`req_${exchange.id}`} label="Copy the request’s id" />
      </footer>
    </>
  );
}
