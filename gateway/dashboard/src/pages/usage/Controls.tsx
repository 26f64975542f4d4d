import { useMemo } from "react";
import { useGroups, useProviders } from "@/api/queries";
import { useBreakdown, type UsageTotal } from "@/api/usage";
import { Filter, Filters } from "@/components/Filters";
import { Segmented } from "@/components/Segmented";
import { TimeRange } from "@/components/TimeRange";
import css from "./Controls.module.css";
import { RANGES, type UsageState } from "./state";

/** Everything that the address keeps. */
export function Controls({ state }: { state: UsageState }) {
  const { change, filters, query } = state;
  const span = { start_date: query["start_date"], end_date: query["end_date"] };
  const users = useBreakdown("user", span);
  const models = useBreakdown("model", span);
  const providers = useProviders();
  const groups = useGroups();
  return (
    <>
      <div className={css.row}>
        <TimeRange
          label="Time"
          zone="utc"
          value={state.range}
          onChange={(range) => change({ range })}
          presets={RANGES}
        />
        <Segmented
          label="Per"
          value={state.granularity}
          onChange={(per) => change({ per })}
          options={[
            { value: "day", label: "Day" },
            { value: "week", label: "Week" },
            { value: "month", label: "Month" },
          ]}
        />
        <Segmented
          label="Show"
          value={state.metric}
          onChange={(show) => change({ show })}
          options={[
            { value: "tokens", label: "Tokens" },
            { value: "cost", label: "Cost" },
            { value: "requests", label: "Requests" },
          ]}
        />
      </div>
      <Filters
        active={Object.values(filters).some(Boolean)}
        onClear={() => change({ user: "", group: "", provider: "", model: "" })}
      >
        <Filter
          label="User"
          all="All users"
          value={filters.user}
          onChange={(user) => change({ user })}
          options={useMemo(() => keys(users.data), [users.data])}
        />
        <Filter
          label="Group"
          all="All groups"
          value={filters.group}
          onChange={(group) => change({ group })}
          options={useMemo(() => named(groups.data), [groups.data])}
        />
        <Filter
          label="Provider"
          all="All providers"
          value={filters.provider}
          onChange={(provider) => change({ provider })}
          options={useMemo(() => named(providers.data), [providers.data])}
        />
        <Filter
          label="Model"
          all="All models"
          value={filters.model}
          onChange={(model) => change({ model })}
          options={useMemo(() => keys(models.data), [models.data])}
        />
      </Filters>
    </>
  );
}

function keys(totals: readonly UsageTotal[] | undefined) {
  return (totals ?? [])
    .filter(({ key }) => key !== "")
    .map(({ key, display_name }) => ({
      value: key,
      label: display_name || key,
      ...(display_name && display_name !== key ? { detail: key } : {}),
    }));
}

function named(all: readonly { id: string; name: string }[] | undefined) {
  return (all ?? []).map(({ id, name }) => ({ value: id, label: name }));
}
