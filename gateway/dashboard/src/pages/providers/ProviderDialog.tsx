import { ArrowLeft, ArrowRight } from "lucide-react";
import { useMemo, useState } from "react";
import { providers as change, testDraft } from "@/api/changes";
import type { ApiError } from "@/api/http";
import { useChange, useProviders, useTagged } from "@/api/queries";
import type { CatalogEntry, Provider, TestReport } from "@/api/types";
import { Button } from "@/components/Button";
import { Dialog } from "@/components/Dialog";
import { Notice } from "@/components/Notice";
import { toast } from "@/components/Toast";
import { draftOf, newDraft, problems, requestOf, type Draft, type Problems } from "./draft";
import { MappingsStep } from "./MappingsStep";
import { ModelsStep } from "./ModelsStep";
import css from "./ProviderDialog.module.css";
import { ProviderStep } from "./ProviderStep";
import { TestResult } from "./TestResult";

interface Props {
  entries: ReadonlyMap<string, CatalogEntry>;
  /** The stored one; none connects a new one. */
  provider?: Provider;
  onClose: () => void;
}

type Step = "provider" | "models" | "mappings";
const TITLES: Record<Step, string> = {
  provider: "Provider",
  models: "Models and prices",
  mappings: "Mappings",
};

/** Connects a provider, or changes one: who, which models at which prices, and how it is told who calls. */
export function ProviderDialog({ entries, provider, onClose }: Props) {
  const stored = useTagged<Provider>("providers", provider?.id);
  const taken = useProviders().data?.map((one) => one.name) ?? [];
  const [entry, setEntry] = useState(provider && entries.get(provider.provider_id));
  const [draft, setDraft] = useState(provider && entry && draftOf(provider, entry));
  const [step, setStep] = useState<Step>("provider");
  const [isTried, setTried] = useState(false);
  const save = useChange(
    (body: ReturnType<typeof requestOf>) =>
      provider
        ? change.update({ id: provider.id, body, ifMatch: stored.data?.etag ?? null })
        : change.create(body),
    "providers",
    "status",
    "settings",
  );
  const test = useChange(testDraft);
  /** Of exactly this draft; another draft needs another look. */
  const [tested, setTested] = useState<{ draft: Draft; report: TestReport }>();

  const steps = useMemo<Step[]>(
    () => (entry?.identity_injection ? ["provider", "models", "mappings"] : ["provider", "models"]),
    [entry],
  );
  const found: Problems = draft && entry ? problems(draft, entry) : {};
  const shown = isTried ? found : {};
  const report = tested && tested.draft === draft ? tested.report : undefined;
  const at = steps.indexOf(step);
  const isLast = at === steps.length - 1;

  const pick = (id: string) => {
    const next = entries.get(id);
    if (!next || next === entry) return;
    setEntry(next);
    setDraft(newDraft(next, taken));
    setTried(false);
    save.reset();
  };
  /** To another step, unless the first one is wanting. */
  const go = (to: Step | undefined) => {
    setTried(true);
    if (!to || !draft) return;
    const wanting = found.url ?? found.key ?? found.name;
    setStep(wanting ? "provider" : to);
  };
  const runTest = (then?: () => void) => {
    if (!draft || !entry) return;
    test.mutate(requestOf(draft, entry), {
      onSuccess: (report) => {
        setTested({ draft, report });
        if (report.ok) then?.();
      },
    });
  };
  const store = () => {
    if (!draft || !entry) return;
    save.mutate(requestOf(draft, entry), {
      onSuccess: (saved) => {
        toast(provider ? `${saved.name} is changed` : `${saved.name} is connected`);
        onClose();
      },
      onError: (error) => setStep(stepOf(error.field)),
    });
  };
  /** Looked at first; what fails the look is saved only by somebody who insists. */
  const finish = () => {
    setTried(true);
    if (found.url || found.key || found.name) setStep("provider");
    else if (found.models) setStep("models");
    else if (report) store();
    else runTest(store);
  };

  const error = save.error ?? test.error;
  const ifIdle = !test.isPending && !save.isPending;
  return (
    <Dialog
      open
      keepOnOutsideClick
      onClose={onClose}
      size="l"
      title={provider ? `Edit ${provider.name}` : "Connect a provider"}
      {...(provider
        ? {}
        : { description: "Its key stays on this node: sealed on disk, and never shown again." })}
      onSubmit={isLast ? finish : () => go(steps[at + 1])}
      head={entry && draft && <Steps steps={steps} step={step} onStep={go} />}
      footer={
        entry &&
        draft && (
          <>
            <Button busy={test.isPending} disabled={!ifIdle} onClick={() => tryNow()}>
              Test connection
            </Button>
            <span className={css.gap} />
            {at > 0 && (
              <Button icon={<ArrowLeft />} onClick={() => setStep(steps[at - 1] ?? "provider")}>
                Back
              </Button>
            )}
            {!isLast && (
              <Button type="submit" look={provider ? "secondary" : "primary"}>
                Continue
                <ArrowRight />
              </Button>
            )}
            {(isLast || provider) && (
              <Button look="primary" busy={save.isPending} disabled={!ifIdle} onClick={finish}>
                {saveLabel(provider !== undefined, report)}
              </Button>
            )}
          </>
        )
      }
    >
      {error && <Notice tone="bad">{problemText(error)}</Notice>}
      {report && <TestResult report={report} />}
      {test.isPending && <p className={css.waiting}>Asking the provider for its models …</p>}
      <div className={css.step} hidden={step !== "provider"}>
        <ProviderStep
          entries={entries}
          entry={entry}
          draft={draft}
          onPick={pick}
          onChange={setDraft}
          problems={shown}
          error={error}
        />
      </div>
      {entry && draft && step === "models" && (
        <ModelsStep
          entry={entry}
          draft={draft}
          onChange={setDraft}
          problem={shown.models}
          error={error}
        />
      )}
      {entry && draft && step === "mappings" && (
        <MappingsStep entry={entry} draft={draft} onChange={setDraft} error={error} />
      )}
    </Dialog>
  );

  function tryNow() {
    setTried(true);
    if (found.url || found.key) setStep("provider");
    else runTest();
  }
}

function Steps({
  steps,
  step,
  onStep,
}: {
  steps: Step[];
  step: Step;
  onStep: (step: Step) => void;
}) {
  return (
    <ol className={css.steps}>
      {steps.map((one, index) => (
        <li key={one}>
          <button
            type="button"
            aria-current={one === step ? "step" : undefined}
            onClick={() => onStep(one)}
          >
            <span aria-hidden="true">{index + 1}</span>
            {TITLES[one]}
          </button>
        </li>
      ))}
    </ol>
  );
}

function saveLabel(isStored: boolean, report: TestReport | undefined): string {
  const insists = report && !report.ok;
  if (isStored) return insists ? "Save anyway" : "Save";
  return insists ? "Connect anyway" : "Connect";
}

/** Where the field at fault is. */
function stepOf(field: string | undefined): Step {
  if (field?.startsWith("models")) return "models";
  if (field?.startsWith("identity_") || field === "metadata_disabled") return "mappings";
  return "provider";
}

function problemText(error: ApiError): string {
  return error.field ? `${error.field}: ${error.message}` : error.message;
}
