import { useEffect, useMemo, useState } from "react";
import { useGroups, useProviders } from "@/api/queries";
import { useBreakdown, type UsageTotal } from "@/api/usage";
import { Filter, Filters } from "@/components/Filters";
import { SearchInput, TextInput } from "@/components/Input";
import { TimeRange } from "@/components/TimeRange";
import css from "./LogFilters.module.css";
import { FILTERS, RANGES, type LogsState } from "./state";
import { OUTCOMES } from "./words";

/** So that not every letter is a request. */
const TYPED_MS = 350;

export function LogFilters({ state }: { state: LogsState }) {
  const { filters, narrow, query, view } = state;
  const span = { start_date: query["start_date"], end_date: query["end_date"] };
  const users = useBreakdown("user", span);
  const models = useBreakdown("model", span);
  const providers = useProviders();
  const groups = useGroups();
  const [search, setSearch] = useTyped(filters.search, (text) => narrow({ search: text }));
  const [path, setPath] = useTyped(filters.path, (text) => narrow({ path: text }));
  return (
    <Filters
      active={state.isFiltered}
      onClear={() => narrow(Object.fromEntries(FILTERS.map((name) => [name, ""])))}
    >
      {view !== "live" && (
        <TimeRange
          label="Time"
          zone="local"
          value={state.range}
          onChange={(range) => narrow({ range })}
          presets={RANGES}
        />
      )}
      <div className={css.search}>
        <SearchInput
          label="Search"
          placeholder="Request id, path, model, user…"
          value={search}
          onChange={setSearch}
        />
      </div>
      <Filter
        label="User"
        all="All users"
        value={filters.user}
        onChange={(user) => narrow({ user })}
        options={useMemo(() => keys(users.data), [users.data])}
      />
      <Filter
        label="Group"
        all="All groups"
        value={filters.group}
        onChange={(group) => narrow({ group })}
        options={useMemo(() => named(groups.data), [groups.data])}
      />
      <Filter
        label="Provider"
        all="All providers"
        value={filters.provider}
        onChange={(provider) => narrow({ provider })}
        options={useMemo(() => named(providers.data), [providers.data])}
      />
      <Filter
        label="Model"
        all="All models"
        value={filters.model}
        onChange={(model) => narrow({ model })}
        options={useMemo(() => keys(models.data), [models.data])}
      />
      <Filter
        label="Outcome"
        all="Any outcome"
        value={filters.outcome}
        onChange={(outcome) => narrow({ outcome })}
        options={OUTCOME_OPTIONS}
      />
      <div className={css.path}>
        <TextInput
          aria-label="Path begins with"
          placeholder="Path begins with…"
          value={path}
          onChange={({ target }) => setPath(target.value)}
        />
      </div>
      {filters.session && (
        <div className={css.path}>
          <TextInput
            aria-label="Session"
            value={filters.session}
            onChange={({ target }) => narrow({ session: target.value })}
          />
        </div>
      )}
    </Filters>
  );
}

const OUTCOME_OPTIONS = Object.entries(OUTCOMES).map(([value, { label }]) => ({ value, label }));

/** Text that counts once nobody types any more. */
function useTyped(
  value: string,
  onSettled: (text: string) => void,
): [string, (text: string) => void] {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return;
    const timer = setTimeout(() => onSettled(text), TYPED_MS);
    return () => clearTimeout(timer);
    // What else changes the address meanwhile is no reason to wait anew.
  }, [text]);
  return [text, setText];
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
