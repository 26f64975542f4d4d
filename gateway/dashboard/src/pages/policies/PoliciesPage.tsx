import { PageHeader } from "@/components/PageHeader";

export default function PoliciesPage() {
  return <PageHeader title="Policies" />;
}
