import { PageHeader } from "@/components/PageHeader";
import { Tabs } from "@/components/Tabs";
import { useParameter } from "@/shell/router";
import { useWho } from "@/shell/session";
import { CollectionCard } from "./CollectionCard";
import { EndpointCard } from "./EndpointCard";
import { MasterKeyCard } from "./MasterKeyCard";
import { NodeCard } from "./NodeCard";
import { PricesCard } from "./PricesCard";
import { StoreCard } from "./StoreCard";
import { TokensCard } from "./TokensCard";

const TABS = ["node", "collection", "access"] as const;

/** What is set once, and how the node itself does. */
export default function SettingsPage() {
  const [asked, show] = useParameter("tab");
  const { role } = useWho();
  const tab = TABS.find((one) => one === asked) ?? "node";
  return (
    <>
      <PageHeader title="Settings">
        Ports, workers and other things of the machine are in the node’s configuration file.
      </PageHeader>
      <Tabs
        label="Settings"
        value={tab}
        onChange={(next) => show(next === "node" ? "" : next)}
        tabs={[
          {
            value: "node",
            label: "Node",
            content: (
              <>
                <NodeCard />
                <EndpointCard />
                <PricesCard />
              </>
            ),
          },
          { value: "collection", label: "Collection", content: <CollectionCard /> },
          {
            value: "access",
            label: "Access and keys",
            content: (
              <>
                <TokensCard isOwner={role === "owner"} />
                <MasterKeyCard isOwner={role === "owner"} />
                <StoreCard isOwner={role === "owner"} />
              </>
            ),
          },
        ]}
      />
    </>
  );
}
