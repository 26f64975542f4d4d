import { useOverview } from "@/api/usage";
import { Notice } from "@/components/Notice";
import { PageHeader } from "@/components/PageHeader";
import { ErrorState, Skeleton } from "@/components/States";
import { Card } from "@/components/Card";
import { Breakdown } from "./Breakdown";
import { Controls } from "./Controls";
import { Nothing } from "./Nothing";
import { OverTime } from "./OverTime";
import { SumsRow } from "./SumsRow";
import css from "./UsagePage.module.css";
import { useUsageState } from "./state";

/** Tokens, cost and requests: over time, and by whom and what for. */
export default function UsagePage() {
  const state = useUsageState();
  const overview = useOverview(state.query, state.granularity);
  const isFiltered = Object.values(state.filters).some(Boolean);
  return (
    <>
      <PageHeader title="Usage">
        What agents used and what it cost, from the node’s own books. Days are UTC days.
      </PageHeader>
      <Controls state={state} />
      {overview.error && (
        <ErrorState
          error={overview.error}
          what="the usage"
          onRetry={() => void overview.refetch()}
        />
      )}
      {overview.isPending && (
        <Card>
          <Skeleton lines={8} />
        </Card>
      )}
      {overview.data?.length === 0 && <Nothing isFiltered={isFiltered} />}
      {overview.data && overview.data.length > 0 && (
        <>
          <SumsRow buckets={overview.data} busy={overview.isPlaceholderData} />
          <Unpriced count={overview.data.reduce((sum, one) => sum + one.unpriced_count, 0)} />
          <OverTime state={state} buckets={overview.data} />
          <Breakdown state={state} />
        </>
      )}
    </>
  );
}

function Unpriced({ count }: { count: number }) {
  if (count === 0) return null;
  return (
    <div className={css.notice}>
      <Notice tone="warn" title="The cost is not whole">
        For {count.toLocaleString("en-US")} requests no price is known, or only of a part of what
        they used. Give their models prices at Providers.
      </Notice>
    </div>
  );
}
