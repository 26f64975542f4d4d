import type { Limits } from "@/api/types";
import { count, usd } from "@/format/number";
import { windowLength } from "@/format/time";

const DAY = 86_400;
/** What a new limit begins with. */
export const WINDOW_DEFAULT = 30 * DAY;

export function noLimits(): Limits {
  return {
    token_limit: { enabled: false, group_cap: 0, user_cap: 0, window_seconds: WINDOW_DEFAULT },
    budget_limit: {
      enabled: false,
      group_cap_usd: 0,
      user_cap_usd: 0,
      window_seconds: WINDOW_DEFAULT,
    },
    rate_limit: {
      enabled: false,
      group_requests_per_minute: 0,
      user_requests_per_minute: 0,
      group_tokens_per_minute: 0,
      user_tokens_per_minute: 0,
      group_concurrency: 0,
      user_concurrency: 0,
    },
    mode: "soft",
  };
}

/** A window that was never set is offered as the usual one. */
export function editable(limits: Limits): Limits {
  const { token_limit: tokens, budget_limit: budget } = limits;
  return {
    ...limits,
    token_limit: { ...tokens, window_seconds: tokens.window_seconds || WINDOW_DEFAULT },
    budget_limit: { ...budget, window_seconds: budget.window_seconds || WINDOW_DEFAULT },
  };
}

/** In a few words each: "$250.00 per group, $20.00 per user in 30 days". */
export function summaries({
  token_limit: tokens,
  budget_limit: budget,
  rate_limit: rate,
}: Limits): string[] {
  const found: string[] = [];
  if (budget.enabled) {
    const caps = both(budget.group_cap_usd, budget.user_cap_usd, usd);
    if (caps) found.push(`${caps} in ${windowLength(budget.window_seconds)}`);
  }
  if (tokens.enabled) {
    const caps = both(tokens.group_cap, tokens.user_cap, (value) => `${count(value)} tokens`);
    if (caps) found.push(`${caps} in ${windowLength(tokens.window_seconds)}`);
  }
  if (rate.enabled) {
    for (const [group, user, unit] of [
      [rate.group_requests_per_minute, rate.user_requests_per_minute, "requests a minute"],
      [rate.group_tokens_per_minute, rate.user_tokens_per_minute, "tokens a minute"],
      [rate.group_concurrency, rate.user_concurrency, "at a time"],
    ] as const) {
      const caps = both(group, user, (value) => `${count(value)} ${unit}`);
      if (caps) found.push(caps);
    }
  }
  return found;
}

function both(group: number, user: number, show: (value: number) => string): string {
  return [group > 0 && `${show(group)} per group`, user > 0 && `${show(user)} per user`]
    .filter(Boolean)
    .join(", ");
}
