import { ArrowRight, Check, Minus, X } from "lucide-react";
import type { Charged, Explanation, PolicyState, ProviderState } from "@/api/types";
import { Badge } from "@/components/Badge";
import { classes } from "@/components/classes";
import { Meter } from "@/components/Meter";
import { count, percent, usd } from "@/format/number";
import { windowLength } from "@/format/time";
import { Link } from "@/shell/router";
import css from "./ExplainAnswer.module.css";

/** From the caller to the provider, with every candidate on the way and what spoke for or against it. */
export function ExplainAnswer({ answer }: { answer: Explanation }) {
  return (
    <div className={css.answer} role="region" aria-label="Answer" aria-live="polite">
      <Verdict answer={answer} />
      <ol className={css.way} aria-label="The way of the request">
        <li>
          <span>Peer</span>
          <strong>{answer.peer.name}</strong>
          <small>
            {answer.user.name || answer.user.id} ·{" "}
            {answer.groups.map((group) => group.name).join(", ")}
          </small>
        </li>
        <li>
          <ArrowRight aria-hidden="true" />
          <span>Request</span>
          <strong>{answer.model ?? "no model"}</strong>
          <small>
            {answer.dialect} · {answer.operation}
          </small>
        </li>
        <li>
          <ArrowRight aria-hidden="true" />
          <span>Provider</span>
          <strong>{answer.provider?.name ?? "none"}</strong>
          <small>
            {answer.provider_problem && `cannot be asked: ${answer.provider_problem.code}`}
          </small>
        </li>
        <li>
          <ArrowRight aria-hidden="true" />
          <span>Paid by</span>
          <strong>{answer.policy?.name ?? "none"}</strong>
          <small>{answer.group && `for ${answer.group.name}`}</small>
        </li>
      </ol>
      <section>
        <h3>Policies</h3>
        <ul className={css.list}>
          {answer.policies.map((policy) => (
            <li key={policy.id}>
              <State good={policy.state === "pays"} open={policy.state === "next"} />
              <div className={css.what}>
                <div className={css.line}>
                  <Link href={`/policies/${policy.id}`}>{policy.name}</Link>
                  <Badge tone={POLICY_TONES[policy.state]}>{POLICY_WORDS[policy.state]}</Badge>
                </div>
                <p>{policy.why}</p>
                {policy.limits.length > 0 && (
                  <ul className={css.limits}>
                    {policy.limits.map((limit, index) => (
                      <Limit key={index} limit={limit} />
                    ))}
                  </ul>
                )}
              </div>
            </li>
          ))}
          {answer.policies.length === 0 && <li className={css.none}>There is no policy.</li>}
        </ul>
        {answer.policies_left_out > 0 && (
          <p className={css.none}>{count(answer.policies_left_out)} more are not shown.</p>
        )}
      </section>
      <section>
        <h3>Providers</h3>
        <ul className={css.list}>
          {answer.providers.map((provider) => (
            <li key={provider.id}>
              <State good={provider.state === "asked"} open={provider.state === "fits"} />
              <div className={css.what}>
                <div className={css.line}>
                  <Link href={`/providers/${provider.id}`}>{provider.name}</Link>
                  <Badge tone={provider.state === "asked" ? "ok" : "neutral"}>
                    {PROVIDER_WORDS[provider.state]}
                  </Badge>
                </div>
                <p>{provider.why}</p>
              </div>
            </li>
          ))}
          {answer.providers.length === 0 && <li className={css.none}>No provider is connected.</li>}
        </ul>
      </section>
    </div>
  );
}

function Verdict({ answer }: { answer: Explanation }) {
  return (
    <div className={classes(css.verdict, answer.allowed ? css.yes : css.no)}>
      {answer.allowed ? <Check aria-hidden="true" /> : <X aria-hidden="true" />}
      <div>
        <strong>{answer.allowed ? "It would be sent" : "It would be refused"}</strong>
        <div>
          {answer.allowed ? (
            <>
              to {answer.provider?.name}, on {answer.policy?.name ?? "no limit"}
            </>
          ) : (
            <>
              with status {answer.denial?.status} and the code <code>{answer.denial?.code}</code>
            </>
          )}
        </div>
      </div>
    </div>
  );
}

/** A limit with what the request sets aside of it. */
function Limit({ limit }: { limit: Charged }) {
  const show = (value: number) => (limit.unit === "usd" ? usd(value) : count(value));
  const part = (value: number) => (limit.cap > 0 ? (value / limit.cap) * 100 : 100);
  const owner = limit.rule ?? (limit.set_by === "provider" ? "the provider" : "the policy");
  return (
    <li className={limit.has_room ? undefined : css.full}>
      <span>
        {UNIT_WORDS[limit.unit] ?? limit.unit}
        {limit.window_seconds > 0 && ` in ${windowLength(limit.window_seconds)}`}, set by {owner}
        {limit.hard && " · hard"}
      </span>
      <Meter
        label={`${UNIT_WORDS[limit.unit] ?? limit.unit} of ${owner}`}
        percent={part(limit.spent)}
        more={limit.takes === null ? undefined : part(limit.takes)}
      />
      <span className={css.figures}>
        {show(limit.spent)} of {show(limit.cap)} ({percent(part(limit.spent))}) ·{" "}
        {limit.takes === null ? "no upper bound" : `takes ${show(limit.takes)}`}
        {!limit.has_room && " · no room"}
      </span>
    </li>
  );
}

function State({ good, open }: { good: boolean; open: boolean }) {
  const Icon = good ? Check : open ? Minus : X;
  return (
    <span
      className={classes(css.state, good ? css.good : open ? css.open : css.bad)}
      aria-hidden="true"
    >
      <Icon />
    </span>
  );
}

const UNIT_WORDS: Record<string, string> = {
  tokens: "Tokens",
  usd: "Budget",
  requests: "Requests",
  in_flight: "At the same time",
};

const POLICY_WORDS: Record<PolicyState, string> = {
  pays: "pays",
  no_room: "no room",
  next: "would be next",
  model_blocked: "model not allowed",
  path_blocked: "path not allowed",
  other_provider: "other providers",
  other_groups: "other groups",
  disabled: "disabled",
  left_out: "cannot be used",
};

const POLICY_TONES: Record<PolicyState, "ok" | "bad" | "accent" | "neutral"> = {
  pays: "ok",
  no_room: "bad",
  next: "accent",
  model_blocked: "bad",
  path_blocked: "bad",
  other_provider: "neutral",
  other_groups: "neutral",
  disabled: "neutral",
  left_out: "bad",
};

const PROVIDER_WORDS: Record<ProviderState, string> = {
  asked: "is asked",
  fits: "would fit",
  disabled: "disabled",
  left_out: "cannot be used",
  without_model: "has not the model",
  other_dialect: "speaks another API",
  unreachable: "no policy opens it",
  other_object: "keeps other objects",
};
