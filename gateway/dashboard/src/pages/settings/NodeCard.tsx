import { useProviders, useStatus } from "@/api/queries";
import type { NodeStatus } from "@/api/types";
import { Status } from "@/components/Badge";
import { Card } from "@/components/Card";
import { KeyValue } from "@/components/KeyValue";
import { Notice } from "@/components/Notice";
import { ErrorState, Skeleton } from "@/components/States";
import { plural } from "@/format/number";
import { dateTime, relative } from "@/format/time";
import { Link } from "@/shell/router";
import css from "./settings.module.css";

export function NodeCard() {
  const status = useStatus();
  const { data } = status;
  return (
    <Card
      title="Node"
      actions={
        data && (
          <Status tone={data.ready ? "ok" : "warn"}>{data.ready ? "Ready" : "Not ready"}</Status>
        )
      }
    >
      {status.error && !data && (
        <ErrorState
          error={status.error}
          what="the node’s status"
          onRetry={() => void status.refetch()}
        />
      )}
      {status.isPending && <Skeleton lines={5} />}
      {data && <Facts status={data} />}
    </Card>
  );
}

function Facts({ status }: { status: NodeStatus }) {
  const providers = useProviders().data;
  const failing = status.providers.filter(({ ready }) => !ready);
  return (
    <>
      {!status.ready && (
        <div className={css.notice}>
          <Notice tone="warn" title="It takes no traffic yet">
            <ul>
              {status.not_ready.map((reason) => (
                <li key={reason}>{reason}</li>
              ))}
            </ul>
          </Notice>
        </div>
      )}
      <KeyValue
        rows={[
          ["Version", status.version],
          ["Running since", `${dateTime(status.started_at)} (${relative(status.started_at)})`],
          ["Driver", status.driver],
          ["Workers", status.workers],
          [
            "Listens on",
            status.listeners.length > 0 ? (
              <span key="listeners" className={css.lines}>
                {status.listeners.map((address) => (
                  <code key={address}>{address}</code>
                ))}
              </span>
            ) : (
              "Nothing yet"
            ),
          ],
          [
            "Providers",
            failing.length === 0 ? (
              `${plural(status.providers.length, "provider")}, all usable`
            ) : (
              <span key="providers" className={css.lines}>
                {failing.map(({ id, problem }) => (
                  <span key={id}>
                    <Link href={`/providers/${encodeURIComponent(id)}`}>
                      {providers?.find((one) => one.id === id)?.name ?? id}
                    </Link>
                    : {problem ?? "not usable"}
                  </span>
                ))}
              </span>
            ),
          ],
          ["Store revision", status.revision],
        ]}
      />
    </>
  );
}
