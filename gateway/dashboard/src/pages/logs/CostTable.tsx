import type { Exchange } from "@/api/usage";
import { count, usd } from "@/format/number";
import css from "./CostTable.module.css";
import { beyondTextWords, costSourceWords, leftOutWords } from "./words";

/** What was used, and what each part cost. */
export function CostTable({ exchange }: { exchange: Exchange }) {
  const { input_tokens, cached_input_tokens, cache_creation_tokens } = exchange;
  const rows = [
    {
      label: "Input",
      tokens: Math.max(0, input_tokens - cached_input_tokens - cache_creation_tokens),
      cost: exchange.input_cost_usd,
      always: true,
    },
    {
      label: "Read from cache",
      tokens: cached_input_tokens,
      cost: exchange.cached_input_cost_usd,
    },
    {
      label: "Written to cache",
      tokens: cache_creation_tokens,
      cost: exchange.cache_creation_cost_usd,
    },
    {
      label: "Output",
      tokens: exchange.output_tokens,
      cost: exchange.output_cost_usd,
      always: true,
      detail:
        exchange.reasoning_tokens > 0 ? `${count(exchange.reasoning_tokens)} for reasoning` : "",
    },
    { label: "Tools and others", tokens: null, cost: exchange.other_cost_usd },
  ].filter(({ tokens, cost, always }) => always || (tokens ?? 0) > 0 || cost > 0);
  const beyond = exchange.beyond_text
    ? [
        ...beyondTextWords(exchange.beyond_text.media),
        ...beyondTextWords(exchange.beyond_text.tool_calls),
      ]
    : [];
  return (
    <>
      <table className={css.table}>
        <caption className="visually-hidden">Tokens and cost by component</caption>
        <thead>
          <tr>
            <th scope="col">Component</th>
            <th scope="col" className={css.end}>
              Tokens
            </th>
            <th scope="col" className={css.end}>
              Cost
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ label, tokens, cost, detail }) => (
            <tr key={label}>
              <th scope="row">
                {label}
                {detail && <small> · {detail}</small>}
              </th>
              <td className={css.end}>{tokens === null ? "–" : count(tokens)}</td>
              <td className={css.end}>{usd(cost)}</td>
            </tr>
          ))}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row">Total</th>
            <td className={css.end}>{count(exchange.total_tokens)}</td>
            <td className={css.end}>{usd(exchange.cost_usd)}</td>
          </tr>
        </tfoot>
      </table>
      <p className={css.note}>
        {exchange.unpriced
          ? "No price is known for the model, so nothing could be charged."
          : `${costSourceWords(exchange.cost_source)}.`}
        {exchange.left_out.length > 0 && ` The cost leaves out ${leftOutWords(exchange.left_out)}.`}
        {beyond.length > 0 && ` Beyond text: ${beyond.join(", ")}.`}
      </p>
    </>
  );
}
