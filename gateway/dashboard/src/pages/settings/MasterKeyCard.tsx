import { KeyRound } from "lucide-react";
import { useState } from "react";
import type { RotateMasterReport } from "@/api/node";
import { post } from "@/api/http";
import { useChange } from "@/api/queries";
import { Button } from "@/components/Button";
import { Card } from "@/components/Card";
import { Confirm } from "@/components/Dialog";
import { Notice } from "@/components/Notice";
import { plural } from "@/format/number";
import css from "./settings.module.css";

const rotate = () => post<RotateMasterReport>("/keys/rotate-master", {});

/** Seals every stored secret anew. */
export function MasterKeyCard({ isOwner }: { isOwner: boolean }) {
  const [isAsking, setAsking] = useState(false);
  const change = useChange(rotate, "status", "audit");
  const done = change.data;
  return (
    <Card title="Master key">
      <p className={css.text}>
        Provider keys and kept texts are sealed with it. It is not in the store; the configuration
        says where it is. Rotation seals all of them under the next key, and says what is to be done
        with the old one.
      </p>
      {done && (
        <div className={css.below}>
          <Notice
            tone="ok"
            title={`${plural(done.resealed, "secret")} sealed under key ${done.key_id}`}
          >
            {done.advice}
          </Notice>
        </div>
      )}
      <div className={css.below}>
        {isOwner ? (
          <Button icon={<KeyRound />} onClick={() => setAsking(true)}>
            Rotate the master key
          </Button>
        ) : (
          <p className={css.text}>Only an owner rotates it.</p>
        )}
      </div>
      {isAsking && (
        <Confirm
          open
          onClose={() => {
            setAsking(false);
            if (change.error) change.reset();
          }}
          title="Rotate the master key?"
          action="Rotate"
          busy={change.isPending}
          error={change.error?.message}
          onConfirm={() => change.mutate(undefined, { onSuccess: () => setAsking(false) })}
        >
          <p>
            Every secret is sealed anew while the node serves on. Keep the old key for as long as
            you keep backups that were made under it.
          </p>
        </Confirm>
      )}
    </Card>
  );
}
