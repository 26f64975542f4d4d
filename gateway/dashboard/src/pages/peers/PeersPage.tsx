import { PageHeader } from "@/components/PageHeader";

export default function PeersPage() {
  return <PageHeader title="Peers" />;
}
