import { PageHeader } from "@/components/PageHeader";

export default function ProvidersPage() {
  return <PageHeader title="Providers" />;
}
