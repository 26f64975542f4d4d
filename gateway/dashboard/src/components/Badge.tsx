import type { ReactNode } from "react";
import css from "./Badge.module.css";
import { classes } from "./classes";

export type Tone = "neutral" | "ok" | "warn" | "bad" | "accent" | "brass";

export function Badge({ tone = "neutral", children }: { tone?: Tone; children: ReactNode }) {
  return <span className={classes(css.badge, css[tone])}>{children}</span>;
}

/** A state at a glance; the word beside it says the same to who sees no colour. */
export function Status({ tone, children }: { tone: Tone; children: ReactNode }) {
  return (
    <span className={css.status}>
      <Dot tone={tone} />
      {children}
    </span>
  );
}

export function Dot({ tone }: { tone: Tone }) {
  return <span className={classes(css.dot, css[`${tone}Dot`])} aria-hidden="true" />;
}
