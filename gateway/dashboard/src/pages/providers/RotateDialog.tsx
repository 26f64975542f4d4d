import { useState } from "react";
import { rotateKey, testDraft } from "@/api/changes";
import { useChange, useProviderKeys } from "@/api/queries";
import type { CatalogEntry, Provider } from "@/api/types";
import { Button } from "@/components/Button";
import { Dialog } from "@/components/Dialog";
import { KeyValue } from "@/components/KeyValue";
import { Notice } from "@/components/Notice";
import { toast } from "@/components/Toast";
import { dateTime } from "@/format/time";
import { requestFrom } from "./draft";
import { KeyField } from "./KeyField";
import { TestResult } from "./TestResult";

interface Props {
  provider: Provider;
  entry: CatalogEntry | undefined;
  onClose: () => void;
}

/** Exchanges a provider's key. The new one is tried first; requests under way end with the old one. */
export function RotateDialog({ provider, entry, onClose }: Props) {
  const keys = useProviderKeys(provider.id);
  const [key, setKey] = useState("");
  const test = useChange(testDraft);
  const rotate = useChange(rotateKey, "providers", "status");
  const report = test.data;
  const store = () =>
    rotate.mutate(
      { id: provider.id, key: key.trim() },
      {
        onSuccess: () => {
          toast(`${provider.name} has its new key`);
          onClose();
        },
      },
    );
  const finish = () => {
    if (!key.trim()) return;
    if (report) store();
    else {
      test.mutate(
        { ...requestFrom(provider), api_key: key.trim() },
        { onSuccess: (tested) => tested.ok && store() },
      );
    }
  };
  const error = test.error ?? rotate.error;
  return (
    <Dialog
      open
      keepOnOutsideClick
      onClose={onClose}
      size="s"
      title={`Rotate the key of ${provider.name}`}
      description="Requests under way end with the old key; the next ones carry the new one."
      onSubmit={finish}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button
            look="primary"
            type="submit"
            busy={test.isPending || rotate.isPending}
            disabled={!key.trim()}
          >
            {report && !report.ok ? "Rotate anyway" : "Rotate"}
          </Button>
        </>
      }
    >
      {error && <Notice tone="bad">{error.message}</Notice>}
      {report && <TestResult report={report} />}
      <KeyValue
        rows={(keys.data ?? []).map((one) => [
          "In use",
          <span key={one.id}>
            <code>{one.fingerprint}</code> since {dateTime(one.created_at)}
          </span>,
        ])}
      />
      {entry && (
        <KeyField
          entry={entry}
          autoFocus
          error={rotate.error?.field === "api_key" ? rotate.error.message : undefined}
          onChange={(next) => {
            setKey(next);
            test.reset();
          }}
        />
      )}
    </Dialog>
  );
}
