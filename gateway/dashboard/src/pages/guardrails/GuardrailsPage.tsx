import { PageHeader } from "@/components/PageHeader";

export default function GuardrailsPage() {
  return <PageHeader title="Guardrails" />;
}
