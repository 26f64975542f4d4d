import { ShieldCheck } from "lucide-react";
import { get } from "@/api/http";
import type { AuditVerification } from "@/api/node";
import { useChange } from "@/api/queries";
import { Button } from "@/components/Button";
import { CodeBlock } from "@/components/CodeBlock";
import { Dialog } from "@/components/Dialog";
import { Notice } from "@/components/Notice";
import { plural } from "@/format/number";

const verify = () => get<AuditVerification>("/audit/verify");

/** Has the node walk along the chain of entries. */
export function Verify() {
  const check = useChange(verify);
  const close = () => check.reset();
  return (
    <>
      <Button icon={<ShieldCheck />} busy={check.isPending} onClick={() => check.mutate(undefined)}>
        Verify
      </Button>
      {(check.data || check.error) && (
        <Dialog
          open
          size="s"
          onClose={close}
          title="The chain of entries"
          footer={<Button onClick={close}>Close</Button>}
        >
          {check.error && <Notice tone="bad">{check.error.message}</Notice>}
          {check.data && <Result found={check.data} />}
        </Dialog>
      )}
    </>
  );
}

function Result({ found }: { found: AuditVerification }) {
  if (!found.intact) {
    return (
      <Notice tone="bad" title="It is not whole">
        {found.problem}
      </Notice>
    );
  }
  return (
    <>
      <Notice tone="ok" title={`${plural(found.entries, "entry", "entries")}, all as written`}>
        From number {found.first} to {found.last}.
      </Notice>
      <CodeBlock title="Hash of the newest" code={found.hash} />
      <p>
        Note it elsewhere: with it, a later check also finds a log that was rewritten as a whole.
      </p>
    </>
  );
}
