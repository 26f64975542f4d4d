import { X } from "lucide-react";
import { type ReactNode } from "react";
import { Button } from "./Button";
import { Combobox, type Option } from "./Combobox";
import css from "./Filters.module.css";

/** What a list is narrowed by, in one row that wraps. */
export function Filters({
  children,
  active,
  onClear,
}: {
  children: ReactNode;
  /** Something is narrowed. */
  active: boolean;
  onClear: () => void;
}) {
  return (
    <div className={css.filters} role="search">
      {children}
      {active && (
        <Button look="ghost" icon={<X />} onClick={onClear}>
          Clear filters
        </Button>
      )}
    </div>
  );
}

/** One value to narrow a list by; empty does not. */
export function Filter({
  label,
  all,
  value,
  onChange,
  options,
}: {
  label: string;
  /** What no choice means: "All users". */
  all: string;
  value: string;
  onChange: (value: string) => void;
  options: readonly Option[];
}) {
  // An address may name what the options do not have.
  const isKnown = value === "" || options.some((option) => option.value === value);
  return (
    <div className={css.filter}>
      <Combobox
        label={label}
        value={value}
        onChange={onChange}
        options={[
          { value: "", label: all },
          ...(isKnown ? [] : [{ value, label: value }]),
          ...options,
        ]}
      />
    </div>
  );
}
