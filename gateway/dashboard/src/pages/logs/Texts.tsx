import type { Exchange } from "@/api/usage";
import { CodeBlock } from "@/components/CodeBlock";
import { Notice } from "@/components/Notice";
import { PanelSection } from "@/components/SidePanel";
import { useWho } from "@/shell/session";

/** Prompt and answer, where they were kept. They are read only when one request is opened. */
export function Texts({ exchange }: { exchange: Exchange }) {
  const { mayChange } = useWho();
  const { request_prompt, response_completion, capture } = exchange;
  if (capture === "off") return null;
  if (request_prompt === undefined && response_completion === undefined) {
    return (
      <PanelSection title="Prompt and answer">
        <Notice tone="info">{absence(capture, mayChange)}</Notice>
      </PanelSection>
    );
  }
  return (
    <PanelSection title="Prompt and answer">
      {request_prompt !== undefined && <CodeBlock title="Prompt" code={request_prompt} />}
      {response_completion !== undefined && <CodeBlock title="Answer" code={response_completion} />}
    </PanelSection>
  );
}

function absence(capture: Exchange["capture"], readsTexts: boolean): string {
  if (capture === "skipped") return "They were to be kept, but there was no room for them.";
  return readsTexts
    ? "They were kept, and are gone by now: their retention has passed."
    : "They were kept; owners and admins can read them.";
}
