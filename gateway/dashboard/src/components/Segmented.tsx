import { useId } from "react";
import css from "./Segmented.module.css";

interface Props<V extends string> {
  value: V;
  onChange: (value: V) => void;
  label: string;
  options: readonly { value: V; label: string }[];
}

/** One of a few, all in sight. Radio buttons to keyboards and screen readers. */
export function Segmented<V extends string>({ value, onChange, label, options }: Props<V>) {
  const name = useId();
  return (
    <div className={css.group} role="radiogroup" aria-label={label}>
      {options.map((option) => (
        <label key={option.value} className={css.option}>
          <input
            type="radio"
            name={name}
            value={option.value}
            checked={option.value === value}
            onChange={() => onChange(option.value)}
          />
          {option.label}
        </label>
      ))}
    </div>
  );
}
