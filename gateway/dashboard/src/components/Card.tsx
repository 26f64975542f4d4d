import type { ReactNode } from "react";
import css from "./Card.module.css";
import { classes } from "./classes";

interface Props {
  title?: ReactNode;
  actions?: ReactNode;
  /** Without inner space, for tables that reach the edges. */
  flush?: boolean;
  className?: string;
  children: ReactNode;
}

export function Card({ title, actions, flush, className, children }: Props) {
  return (
    <section className={classes(css.card, className)}>
      {(title || actions) && (
        <header className={css.header}>
          {title && <h2>{title}</h2>}
          {actions && <div className={css.actions}>{actions}</div>}
        </header>
      )}
      <div className={flush ? css.flush : css.body}>{children}</div>
    </section>
  );
}
