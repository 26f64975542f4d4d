import { useEffect, type ReactNode } from "react";
import css from "./PageHeader.module.css";

/** Title of a page, what it is for, and its main action. */
export function PageHeader({
  title,
  actions,
  children,
}: {
  title: string;
  actions?: ReactNode;
  children?: ReactNode;
}) {
  useEffect(() => {
    document.title = `${title} · Keyway`;
  }, [title]);
  return (
    <header className={css.header}>
      <div>
        <h1>{title}</h1>
        {children && <p>{children}</p>}
      </div>
      {actions && <div className={css.actions}>{actions}</div>}
    </header>
  );
}
