import { Plus } from "lucide-react";
import { useMemo } from "react";
import { useCatalog, usePolicies, useProviders, useStatus } from "@/api/queries";
import type { CatalogEntry } from "@/api/types";
import { Button } from "@/components/Button";
import { Card } from "@/components/Card";
import { SearchInput } from "@/components/Input";
import { PageHeader } from "@/components/PageHeader";
import { navigate, useParameter, useRoute } from "@/shell/router";
import { useWho } from "@/shell/session";
import { AgentConfigDialog } from "./AgentConfigDialog";
import { EndpointCard } from "./EndpointCard";
import { ProviderDialog } from "./ProviderDialog";
import { ProviderTable } from "./ProviderTable";
import { RemoveDialog } from "./RemoveDialog";
import { RotateDialog } from "./RotateDialog";

/** `/providers`, and over it `/new`, `/agent-config`, `/<id>`, `/<id>/key` and `/<id>/remove`. */
export default function ProvidersPage() {
  const providers = useProviders();
  const policies = usePolicies();
  const catalog = useCatalog();
  const status = useStatus();
  const who = useWho();
  const [search, setSearch] = useParameter("q");
  const entries = useMemo(
    () => new Map(catalog.data?.map((entry): [string, CatalogEntry] => [entry.id, entry])),
    [catalog.data],
  );
  const connect = who.mayChange && (
    <Button look="primary" icon={<Plus />} onClick={() => navigate("/providers/new")}>
      Connect provider
    </Button>
  );
  return (
    <>
      <PageHeader title="Providers" actions={connect}>
        Model vendors, gateways and servers of your own, behind one endpoint that asks agents for no
        key.
      </PageHeader>
      <EndpointCard hasProviders={(providers.data?.length ?? 0) > 0} />
      <Card
        flush
        title="Connected"
        actions={
          (providers.data?.length ?? 0) > 0 && (
            <SearchInput label="Search providers" value={search} onChange={setSearch} />
          )
        }
      >
        <ProviderTable
          providers={providers}
          entries={entries}
          policies={policies.data ?? []}
          states={status.data?.providers ?? []}
          search={search}
        />
      </Card>
      <Dialogs entries={entries} />
    </>
  );
}

function Dialogs({ entries }: { entries: ReadonlyMap<string, CatalogEntry> }) {
  const { rest } = useRoute();
  const providers = useProviders();
  const policies = usePolicies();
  const [id, action] = rest;
  const close = () => navigate("/providers" + location.search);
  if (id === undefined || entries.size === 0 || !providers.data) return null;
  if (id === "agent-config") return <AgentConfigDialog onClose={close} />;
  if (id === "new") return <ProviderDialog entries={entries} onClose={close} />;
  const provider = providers.data.find((one) => one.id === id);
  if (!provider) return null;
  if (action === "key") {
    return (
      <RotateDialog provider={provider} entry={entries.get(provider.provider_id)} onClose={close} />
    );
  }
  if (action === "remove") {
    return <RemoveDialog provider={provider} policies={policies.data ?? []} onClose={close} />;
  }
  return <ProviderDialog key={id} entries={entries} provider={provider} onClose={close} />;
}
