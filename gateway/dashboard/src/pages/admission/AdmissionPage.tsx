import { useAdmission } from "@/api/node";
import { Card } from "@/components/Card";
import { PageHeader } from "@/components/PageHeader";
import { ErrorState, Skeleton } from "@/components/States";
import { BusiestPeers } from "./BusiestPeers";
import { Interfaces } from "./Interfaces";
import { OverTime } from "./OverTime";
import { Reasons } from "./Reasons";
import { Standing } from "./Standing";

/** What stands in front of the node's sockets, and what it lets through. */
export default function AdmissionPage() {
  const admission = useAdmission();
  const { data } = admission;
  return (
    <>
      <PageHeader title="Admission">
        A program in the kernel drops what no peer may send before it costs the node anything.
      </PageHeader>
      {admission.error && !data && (
        <ErrorState
          error={admission.error}
          what="kernel admission"
          onRetry={() => void admission.refetch()}
        />
      )}
      {admission.isPending && (
        <Card>
          <Skeleton lines={6} />
        </Card>
      )}
      {data && (
        <>
          <Standing status={data} />
          {data.interfaces.length > 0 && (
            <>
              <OverTime />
              <Interfaces interfaces={data.interfaces} />
              <Reasons interfaces={data.interfaces} />
              <BusiestPeers />
            </>
          )}
        </>
      )}
    </>
  );
}
