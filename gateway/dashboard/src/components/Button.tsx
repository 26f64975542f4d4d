import { forwardRef, type ButtonHTMLAttributes, type ReactNode } from "react";
import css from "./Button.module.css";
import { classes } from "./classes";
import { Spinner } from "./Spinner";
import { Tooltip } from "./Tooltip";

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: "primary" | "secondary" | "ghost" | "danger";
  size?: "s" | "m";
  icon?: ReactNode;
  /** Under way: shows so and takes no second click. */
  busy?: boolean;
}

export const Button = forwardRef<HTMLButtonElement, Props>(function Button(
  { look = "secondary", size = "m", icon, busy = false, disabled, className, children, ...rest },
  ref,
) {
  return (
    <button
      ref={ref}
      type="button"
      className={classes(css.button, css[look], size === "s" && css.small, className)}
      disabled={disabled || busy}
      aria-busy={busy || undefined}
      {...rest}
    >
      {busy ? <Spinner /> : icon}
      {children}
    </button>
  );
});

interface IconProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  /** What it does: its name for screen readers and its tooltip. */
  label: string;
  children: ReactNode;
}

export const IconButton = forwardRef<HTMLButtonElement, IconProps>(function IconButton(
  { label, className, children, ...rest },
  ref,
) {
  return (
    <Tooltip text={label}>
      <button
        ref={ref}
        type="button"
        aria-label={label}
        className={classes(css.button, css.ghost, css.icon, className)}
        {...rest}
      >
        {children}
      </button>
    </Tooltip>
  );
});
