import { Download } from "lucide-react";
import { address } from "@/api/http";
import { useSettings, useStatus } from "@/api/queries";
import type { Settings } from "@/api/types";
import { Card } from "@/components/Card";
import { CodeBlock } from "@/components/CodeBlock";
import { Copy } from "@/components/Copy";
import { DownloadLink } from "@/components/DownloadLink";
import { KeyValue } from "@/components/KeyValue";
import { ErrorState, Skeleton } from "@/components/States";
import { dateTime } from "@/format/time";
import { records } from "./dns";
import css from "./settings.module.css";

/** The one name that agents use, and what has to resolve to it. */
export function EndpointCard() {
  const settings = useSettings();
  const { data } = settings;
  return (
    <Card
      title="Endpoint"
      actions={
        <DownloadLink href={address("/ca")} file="keyway-ca.pem" icon={<Download />}>
          CA certificate
        </DownloadLink>
      }
    >
      {settings.error && !data && (
        <ErrorState
          error={settings.error}
          what="the settings"
          onRetry={() => void settings.refetch()}
        />
      )}
      {settings.isPending && <Skeleton lines={4} />}
      {data &&
        (data.endpoint ? (
          <Named settings={data} />
        ) : (
          <p className={css.text}>The endpoint gets its name with the first provider.</p>
        ))}
    </Card>
  );
}

function Named({ settings }: { settings: Settings }) {
  const listeners = useStatus().data?.listeners ?? [];
  const lines = records(settings.endpoint, listeners);
  return (
    <>
      <KeyValue
        rows={[
          [
            "Base URL",
            <span key="url" className={css.copied}>
              <code>{settings.base_url}</code>
              <Copy text={settings.base_url} label="Copy the base URL" />
            </span>,
          ],
          [
            "Name",
            settings.dedicated
              ? "Claimed in the configuration"
              : `Generated under ${settings.proxy_address}`,
          ],
          ["Since", settings.created_at ? dateTime(settings.created_at) : null],
        ]}
      />
      {lines.length > 0 && (
        <div className={css.below}>
          <CodeBlock title="DNS records" code={lines.join("\n")} />
        </div>
      )}
      <p className={`${css.text} ${css.below}`}>
        Peers have to resolve the name to an overlay address of this node: a custom zone or record
        in the overlay’s DNS does that. The certificate is of the node’s own CA unless the
        configuration names files; then there is no CA to download.
      </p>
    </>
  );
}
