import { useState } from "react";
import { useResource } from "@/api/queries";
import type { AgentConfig, AgentConfigs } from "@/api/types";
import { CodeBlock } from "@/components/CodeBlock";
import { Dialog } from "@/components/Dialog";
import { Notice } from "@/components/Notice";
import { Segmented } from "@/components/Segmented";
import { ErrorState, Skeleton } from "@/components/States";
import { Tabs } from "@/components/Tabs";
import { useParameter } from "@/shell/router";
import css from "./AgentConfigDialog.module.css";

/** How to point each agent and SDK at the endpoint; the texts are those of `keyway agent-config`. */
export function AgentConfigDialog({ onClose }: { onClose: () => void }) {
  const configs = useResource<AgentConfigs>("agent-config", 0);
  const [tool, setTool] = useParameter("tool");
  const tools = configs.data?.tools ?? [];
  return (
    <Dialog
      open
      onClose={onClose}
      size="l"
      title="Configure an agent"
      description="No key: the overlay says who calls. Where a tool insists on one, any text will do."
    >
      {configs.error && (
        <ErrorState
          error={configs.error}
          what="the configurations"
          onRetry={() => void configs.refetch()}
        />
      )}
      {configs.isPending && <Skeleton />}
      {configs.data?.ca_file && (
        <Notice tone="info" title="The endpoint's certificate is signed by the node's own CA">
          Put it on the agent's machine as <code>{configs.data.ca_file}</code>:{" "}
          <a href="/api/agent-network/ca" download="keyway-ca.pem">
            download keyway-ca.pem
          </a>
        </Notice>
      )}
      {tools.length > 0 && (
        <Tabs
          label="Tools"
          value={tools.find((one) => one.tool === tool)?.tool ?? tools[0]?.tool ?? ""}
          onChange={setTool}
          tabs={tools.map((one) => ({
            value: one.tool,
            label: one.name,
            content: <Variants configs={one.configs} />,
          }))}
        />
      )}
    </Dialog>
  );
}

/** Of a tool that speaks several vendors' APIs. */
function Variants({ configs }: { configs: readonly AgentConfig[] }) {
  const [via, setVia] = useState(configs[0]?.via ?? "");
  const config = configs.find((one) => one.via === via);
  return (
    <div className={css.variant}>
      {configs.length > 1 && (
        <Segmented
          label="Through whose API"
          value={via}
          onChange={setVia}
          options={configs.map((one) => ({ value: one.via, label: one.name }))}
        />
      )}
      {config?.blocks.map((block) => (
        <div key={block.title} className={css.block}>
          {block.note && <p>{block.note}</p>}
          <CodeBlock title={block.title} code={block.text} />
        </div>
      ))}
    </div>
  );
}
