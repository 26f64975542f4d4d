import { PageHeader } from "@/components/PageHeader";

export default function AdmissionPage() {
  return <PageHeader title="Admission" />;
}
