import { SquareTerminal } from "lucide-react";
import { useSettings, useStatus } from "@/api/queries";
import { Badge } from "@/components/Badge";
import { Button } from "@/components/Button";
import { Copy } from "@/components/Copy";
import { ErrorState, Skeleton } from "@/components/States";
import { navigate } from "@/shell/router";
import css from "./EndpointCard.module.css";

/** The one address that agents are pointed at, and what has to be in DNS for it. */
export function EndpointCard({ hasProviders }: { hasProviders: boolean }) {
  const settings = useSettings();
  const status = useStatus();
  if (settings.error && !settings.data) {
    return (
      <ErrorState
        error={settings.error}
        what="the endpoint"
        onRetry={() => void settings.refetch()}
      />
    );
  }
  if (!settings.data) return <Skeleton lines={2} />;
  const { endpoint, base_url } = settings.data;
  if (!endpoint) {
    return (
      <section className={css.none}>
        <h2>No endpoint yet</h2>
        <p>Connecting the first provider gives the endpoint its name. It keeps it from then on.</p>
      </section>
    );
  }
  const addresses = [...new Set((status.data?.listeners ?? []).map(hostOf))];
  const records = addresses.map(
    (address) => `${endpoint}. ${address.includes(":") ? "AAAA" : "A"} ${address}`,
  );
  return (
    <section className={css.card} aria-label="Endpoint">
      <div className={css.main}>
        <h2>
          Agent base URL
          <Badge tone="brass">no key needed</Badge>
        </h2>
        <div className={css.address}>
          <code>{base_url}</code>
        </div>
        <div className={css.actions}>
          <Copy wide text={base_url} label="Copy the base URL" />
          <Button
            look="primary"
            icon={<SquareTerminal />}
            onClick={() => navigate("/providers/agent-config")}
          >
            Agent config
          </Button>
        </div>
      </div>
      <div className={css.dns}>
        <h3>DNS record to create</h3>
        {records.length > 0 ? (
          <ul>
            {records.map((record) => (
              <li key={record}>
                <code>{record}</code>
                <Copy text={record} label="Copy the DNS record" />
              </li>
            ))}
          </ul>
        ) : (
          <p>
            {hasProviders
              ? "The node listens on no overlay address yet; its record follows when it does."
              : "The endpoint opens with the first provider."}
          </p>
        )}
        <p>Reachable through the overlay only. Who calls is known from the tunnel.</p>
      </div>
    </section>
  );
}

/** Of `10.0.0.1:443` and `[fd00::1]:443`. */
function hostOf(listener: string): string {
  return listener.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
}
