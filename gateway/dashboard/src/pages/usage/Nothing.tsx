import { ChartColumn } from "lucide-react";
import { Button } from "@/components/Button";
import { Card } from "@/components/Card";
import { EmptyState } from "@/components/States";
import { navigate } from "@/shell/router";

export function Nothing({ isFiltered }: { isFiltered: boolean }) {
  if (isFiltered) {
    return (
      <Card>
        <EmptyState icon={<ChartColumn />} title="Nothing matches">
          In this time nobody used anything that these filters leave.
        </EmptyState>
      </Card>
    );
  }
  return (
    <Card>
      <EmptyState
        icon={<ChartColumn />}
        title="No usage in this time"
        action={<Button onClick={() => navigate("/providers")}>Go to Providers</Button>}
      >
        Every request of an agent shows up here within a second or two. The endpoint and what to put
        into an agent’s configuration are at Providers.
      </EmptyState>
    </Card>
  );
}
