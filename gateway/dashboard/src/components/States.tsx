import { RotateCw } from "lucide-react";
import type { ReactNode } from "react";
import type { ApiError } from "@/api/http";
import { Button } from "./Button";
import { Notice } from "./Notice";
import css from "./States.module.css";

interface EmptyProps {
  icon?: ReactNode;
  title: string;
  /** What this place is for, and what to do first. */
  children?: ReactNode;
  action?: ReactNode;
}

export function EmptyState({ icon, title, children, action }: EmptyProps) {
  return (
    <div className={css.empty}>
      {icon && (
        <span className={css.icon} aria-hidden="true">
          {icon}
        </span>
      )}
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {action}
    </div>
  );
}

/** A read that failed: what the node said, and another try. */
export function ErrorState({
  error,
  what,
  onRetry,
}: {
  error: ApiError;
  what: string;
  onRetry: () => void;
}) {
  return (
    <Notice
      tone="bad"
      title={`Cannot read ${what}`}
      action={
        <Button size="s" icon={<RotateCw />} onClick={onRetry}>
          Try again
        </Button>
      }
    >
      {error.message}
    </Notice>
  );
}

/** Lines in place of what is being read; appears only when that takes a while. */
export function Skeleton({ lines = 3 }: { lines?: number }) {
  return (
    <div className={css.skeleton} role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, line) => (
        <span key={line} />
      ))}
    </div>
  );
}
