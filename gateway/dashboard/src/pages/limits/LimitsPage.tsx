import { PageHeader } from "@/components/PageHeader";

export default function LimitsPage() {
  return <PageHeader title="Limits" />;
}
