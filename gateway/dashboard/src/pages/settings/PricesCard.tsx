import { usePrices } from "@/api/node";
import { useCatalog } from "@/api/queries";
import { Card } from "@/components/Card";
import { KeyValue } from "@/components/KeyValue";
import { ErrorState, Skeleton } from "@/components/States";
import { plural } from "@/format/number";
import { dateTime } from "@/format/time";
import css from "./settings.module.css";

/** Where list prices are from. */
export function PricesCard() {
  const prices = usePrices();
  const catalog = useCatalog().data;
  const { data } = prices;
  return (
    <Card title="List prices">
      {prices.error && !data && (
        <ErrorState error={prices.error} what="the prices" onRetry={() => void prices.refetch()} />
      )}
      {prices.isPending && <Skeleton lines={4} />}
      {data && (
        <>
          <KeyValue
            rows={[
              [
                "In use",
                data.update
                  ? `${data.update.source}, taken in ${dateTime(data.update.updated_at)}`
                  : "The file that came with this version of the node",
              ],
              ...Object.entries(data.models).map(
                ([id, many]) =>
                  [
                    catalog?.find((entry) => entry.id === id)?.name ?? id,
                    plural(many, "priced model"),
                  ] as const,
              ),
            ]}
          />
          <p className={`${css.text} ${css.below}`}>
            Newer prices come as a file: <code>keyway catalog update FILE</code> shows what would
            change first. Prices that are set at a provider win over these.
          </p>
        </>
      )}
    </Card>
  );
}
