import { Button } from "@/components/Button";
import { PageHeader } from "@/components/PageHeader";
import { EmptyState } from "@/components/States";
import { FIRST_PAGE } from "@/pages";
import { navigate } from "./router";

export function NotFound() {
  return (
    <>
      <PageHeader title="Not found" />
      <EmptyState
        title="There is no such page"
        action={<Button onClick={() => navigate(`/${FIRST_PAGE}`)}>Go to Providers</Button>}
      >
        The address may be from another version of the dashboard.
      </EmptyState>
    </>
  );
}
