import { explain } from "@/api/changes";
import { useChange, usePeers, useProviders } from "@/api/queries";
import { Button } from "@/components/Button";
import { Combobox } from "@/components/Combobox";
import { Dialog } from "@/components/Dialog";
import { Field } from "@/components/Field";
import { NumberInput } from "@/components/Input";
import { Notice } from "@/components/Notice";
import { useParameter } from "@/shell/router";
import { useState } from "react";
import { ExplainAnswer } from "./ExplainAnswer";
import css from "./ExplainDialog.module.css";

const PATHS = [
  "/v1/chat/completions",
  "/v1/responses",
  "/v1/embeddings",
  "/v1/messages",
  "/v1/models/gemini-3.8-flash:generateContent",
];

/** What would become of a request, and why; nothing is sent or spent. The question is in the address. */
export function ExplainDialog({ onClose }: { onClose: () => void }) {
  const peers = usePeers();
  const providers = useProviders();
  const [peer, setPeer] = useParameter("peer");
  const [model, setModel] = useParameter("model");
  const [path, setPath] = useParameter("path");
  const [maxTokens, setMaxTokens] = useState<number>();
  const ask = useChange(explain);
  const models = [...new Set(providers.data?.flatMap((one) => one.models.map(({ id }) => id)))];
  const run = () => {
    if (!peer) return;
    ask.mutate({
      peer,
      ...(model.trim() ? { model: model.trim() } : {}),
      ...(path.trim() ? { path: path.trim() } : {}),
      ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
    });
  };
  const at = (field: string) => (ask.error?.field === field ? ask.error.message : undefined);
  return (
    <Dialog
      open
      keepOnOutsideClick
      onClose={onClose}
      size="l"
      title="Explain a request"
      description="The decisions of the request path, taken for a request that nobody sends. Nothing is spent."
      onSubmit={run}
      footer={
        <>
          <Button onClick={onClose}>Close</Button>
          <Button look="primary" type="submit" disabled={!peer} busy={ask.isPending}>
            Explain
          </Button>
        </>
      }
    >
      <div className={css.question}>
        <Field label="Peer" error={at("peer")}>
          {(control) => (
            <Combobox
              control={control}
              options={(peers.data ?? []).map((one) => ({
                value: one.id,
                label: one.name,
                detail: [one.addresses[0], one.user_email, one.groups.join(", ")]
                  .filter(Boolean)
                  .join(" · "),
              }))}
              value={peer}
              onChange={setPeer}
              placeholder="Who asks"
              autoFocus
              nothing="No such peer"
            />
          )}
        </Field>
        <Field label="Model" error={at("model")}>
          {(control) => (
            <Combobox
              control={control}
              free
              options={models.map((id) => ({ value: id, label: id }))}
              value={model}
              onChange={setModel}
              placeholder="As the agent names it"
            />
          )}
        </Field>
        <Field label="Path" error={at("path")}>
          {(control) => (
            <Combobox
              control={control}
              free
              options={PATHS.map((one) => ({ value: one, label: one }))}
              value={path}
              onChange={setPath}
              placeholder="/v1/chat/completions"
            />
          )}
        </Field>
        <Field label="Output at most" optional error={at("max_tokens")}>
          {(control) => (
            <NumberInput
              {...control}
              inputMode="numeric"
              unit="tokens"
              value={maxTokens}
              onChange={setMaxTokens}
            />
          )}
        </Field>
      </div>
      {ask.error && !ask.error.field && <Notice tone="bad">{ask.error.message}</Notice>}
      {ask.data && <ExplainAnswer answer={ask.data} />}
    </Dialog>
  );
}
