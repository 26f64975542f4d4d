import type { Sums, UsageBucket } from "@/api/usage";
import { Stats } from "@/components/Stats";
import { compact, count, percent, plural, usd } from "@/format/number";

/** The range as a whole. */
export function SumsRow({ buckets, busy }: { buckets: readonly UsageBucket[]; busy: boolean }) {
  const sum = (of: (sums: Sums) => number) => buckets.reduce((total, one) => total + of(one), 0);
  const requests = sum((one) => one.request_count);
  const input = sum((one) => one.input_tokens);
  const output = sum((one) => one.output_tokens);
  const cached = sum((one) => one.cached_input_tokens);
  const cost = sum((one) => one.cost_usd);
  const denied = sum((one) => one.denied_count);
  const failed = sum((one) => one.failed_count);
  return (
    <Stats
      busy={busy}
      stats={[
        {
          label: "Cost",
          value: usd(cost),
          detail: requests > 0 ? `${usd(cost / requests)} a request` : "",
        },
        {
          label: "Tokens",
          value: <span title={count(input + output)}>{compact(input + output)}</span>,
          detail: `${compact(input)} in · ${compact(output)} out`,
        },
        {
          label: "Read from cache",
          value: input > 0 ? percent((100 * cached) / input) : "–",
          detail: `${compact(cached)} of the input`,
        },
        {
          label: "Requests",
          value: <span title={count(requests)}>{compact(requests)}</span>,
          detail: plural(buckets.length, "period with traffic", "periods with traffic"),
        },
        {
          label: "Denied or failed",
          value: compact(denied + failed),
          detail: `${compact(denied)} denied · ${compact(failed)} failed`,
        },
      ]}
    />
  );
}
