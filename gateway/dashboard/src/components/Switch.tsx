import * as Radix from "@radix-ui/react-switch";
import { useId, type ReactNode } from "react";
import css from "./Switch.module.css";

interface Props {
  checked: boolean;
  onChange: (checked: boolean) => void;
  disabled?: boolean;
  label: ReactNode;
  /** For rows of a table, where the row says what is switched. */
  hideLabel?: boolean;
  hint?: ReactNode;
}

export function Switch({ checked, onChange, disabled, label, hideLabel, hint }: Props) {
  const id = useId();
  return (
    <span className={css.row}>
      <Radix.Root
        id={id}
        className={css.switch}
        checked={checked}
        onCheckedChange={onChange}
        disabled={disabled ?? false}
        aria-describedby={hint ? `${id}-hint` : undefined}
      >
        <Radix.Thumb className={css.thumb} />
      </Radix.Root>
      <span className={hideLabel ? "visually-hidden" : css.text}>
        <label htmlFor={id}>{label}</label>
        {hint && (
          <span id={`${id}-hint`} className={css.hint}>
            {hint}
          </span>
        )}
      </span>
    </span>
  );
}
