import { Component, type ReactNode } from "react";
import { Button } from "@/components/Button";
import { EmptyState } from "@/components/States";

/** A page that fails takes neither the navigation nor the other pages with it. */
export class ErrorBoundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state = { error: null as Error | null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <EmptyState
        title="This page stopped"
        action={<Button onClick={() => location.reload()}>Load it again</Button>}
      >
        {error.message} If the node was updated meanwhile, loading the page again helps.
      </EmptyState>
    );
  }
}
