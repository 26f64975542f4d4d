import type { ReactNode } from "react";
import type { Names } from "@/api/names";
import type { Exchange } from "@/api/usage";
import { Copy } from "@/components/Copy";
import { KeyValue } from "@/components/KeyValue";
import { PanelSection } from "@/components/SidePanel";
import { bytes, count } from "@/format/number";
import { dateTime, duration } from "@/format/time";
import { Link } from "@/shell/router";
import css from "./Facts.module.css";
import { httpVersion } from "./words";

/** Everything else, in groups. */
export function Facts({ exchange, names }: { exchange: Exchange; names: Names }) {
  return (
    <>
      <PanelSection title="Caller">
        <KeyValue rows={caller(exchange, names)} />
      </PanelSection>
      <PanelSection title="Route">
        <KeyValue rows={route(exchange, names)} />
      </PanelSection>
      <PanelSection title="Request and answer">
        <KeyValue rows={wire(exchange)} />
      </PanelSection>
    </>
  );
}

type Rows = (readonly [string, ReactNode])[];

function caller(exchange: Exchange, names: Names): Rows {
  const { user_id, session_id } = exchange;
  return [
    ["User", exchange.display_name || null],
    ["User id", user_id ? <Id key="user" text={user_id} what="user’s id" /> : null],
    [
      "Peer",
      exchange.peer_id ? (
        <Link key="peer" href={`/peers/${encodeURIComponent(exchange.peer_id)}`}>
          {exchange.peer_id}
        </Link>
      ) : null,
    ],
    ["Address", exchange.source_ip],
    ["Groups", exchange.group_ids.map(names.group).join(", ") || null],
    ["Agent", exchange.agent_id || null],
    ["Started by agent", exchange.parent_agent_id || null],
    [
      "Session",
      session_id ? (
        <Link
          key="session"
          href={`/logs/sessions/${encodeURIComponent(user_id)}/${encodeURIComponent(session_id)}`}
        >
          {session_id}
        </Link>
      ) : null,
    ],
  ];
}

function route(exchange: Exchange, names: Names): Rows {
  const { resolved_provider_id, selected_policy_id } = exchange;
  return [
    ["Model", exchange.model || null],
    ["Answered as", exchange.response_model || null],
    [
      "Provider",
      resolved_provider_id ? (
        <Link key="provider" href={`/providers/${encodeURIComponent(resolved_provider_id)}`}>
          {names.provider(resolved_provider_id)}
        </Link>
      ) : (
        "None was reached"
      ),
    ],
    [
      "Policy",
      selected_policy_id ? (
        <Link key="policy" href={`/policies/${encodeURIComponent(selected_policy_id)}`}>
          {names.policy(selected_policy_id)}
        </Link>
      ) : null,
    ],
    ["Dialect", exchange.dialect || null],
    ["Operation", exchange.operation || null],
    ["Service tier", exchange.service_tier],
    ["Bound to a region", exchange.regional ? "Yes" : null],
  ];
}

function wire(exchange: Exchange): Rows {
  return [
    ["Started", `${dateTime(exchange.timestamp)} (${exchange.timestamp})`],
    ["Request", `${exchange.method} ${exchange.path}`],
    ["Host", exchange.host],
    ["Protocol", `${httpVersion(exchange.http_version)}${exchange.stream ? ", streamed" : ""}`],
    ["Size", `${bytes(exchange.request_bytes)} in, ${bytes(exchange.response_bytes)} out`],
    [
      "First token after",
      exchange.time_to_first_token_ms === null ? null : duration(exchange.time_to_first_token_ms),
    ],
    [
      "Output speed",
      exchange.output_tokens_per_second === null
        ? null
        : `${exchange.output_tokens_per_second} tokens/s`,
    ],
    ["Node’s own share", duration(exchange.overhead_us / 1000)],
    [
      "Trace",
      exchange.trace_id ? <Id key="trace" text={exchange.trace_id} what="trace id" /> : null,
    ],
    ["Row", exchange.sequence === undefined ? null : count(exchange.sequence)],
  ];
}

function Id({ text, what }: { text: string; what: string }) {
  return (
    <span className={css.id}>
      <code>{text}</code>
      <Copy text={text} label={`Copy the ${what}`} />
    </span>
  );
}
