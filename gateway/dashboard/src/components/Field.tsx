import { useId, type ReactNode } from "react";
import { classes } from "./classes";
import css from "./Field.module.css";

/** What a control has to carry so that label, hint and error belong to it. */
export interface ControlProps {
  id: string;
  "aria-describedby"?: string;
  "aria-invalid"?: true;
  required?: true;
}

interface Props {
  label: ReactNode;
  /** Left out of sight, for rows whose heading says it already. */
  hideLabel?: boolean;
  hint?: ReactNode;
  error?: string | undefined;
  optional?: boolean;
  required?: boolean;
  className?: string;
  children: (control: ControlProps) => ReactNode;
}

/** A labelled control with its help and what is wrong with it. */
export function Field({
  label,
  hideLabel,
  hint,
  error,
  optional,
  required,
  className,
  children,
}: Props) {
  const id = useId();
  const hintId = `${id}-hint`;
  const errorId = `${id}-error`;
  const described = [error && errorId, hint && hintId].filter(Boolean).join(" ");
  return (
    <div className={classes(css.field, className)}>
      <label htmlFor={id} className={hideLabel ? "visually-hidden" : css.label}>
        {label}
        {optional && <span className={css.optional}> optional</span>}
      </label>
      {children({
        id,
        ...(described ? { "aria-describedby": described } : {}),
        ...(error ? { "aria-invalid": true } : {}),
        ...(required ? { required: true } : {}),
      })}
      {error && (
        <p id={errorId} className={css.error} role="alert">
          {error}
        </p>
      )}
      {hint && (
        <p id={hintId} className={css.hint}>
          {hint}
        </p>
      )}
    </div>
  );
}

/** Controls that belong together, under one name. */
export function FieldGroup({
  legend,
  hint,
  children,
}: {
  legend: ReactNode;
  hint?: ReactNode;
  children: ReactNode;
}) {
  return (
    <fieldset className={css.group}>
      <legend className={css.legend}>{legend}</legend>
      {hint && <p className={css.hint}>{hint}</p>}
      {children}
    </fieldset>
  );
}
