import type { AdmissionStatus, ReasonCount } from "@/api/node";
import { CodeBlock } from "@/components/CodeBlock";
import { Notice } from "@/components/Notice";
import { Stats } from "@/components/Stats";
import { bytes, compact, plural } from "@/format/number";
import css from "./Standing.module.css";
import { MODES } from "./words";

/** Whether it is in front, and if not, why and what to do. */
export function Standing({ status }: { status: AdmissionStatus }) {
  const counters = status.interfaces.flatMap((one) => one.counters);
  const packets = (verdict: ReasonCount["verdict"]) =>
    counters
      .filter((count) => count.verdict === verdict)
      .reduce((sum, count) => sum + count.packets, 0);
  const departed = status.departed.ingress.bytes + status.departed.egress.bytes;
  return (
    <>
      <Obstacle status={status} />
      <Stats
        stats={[
          {
            label: "Program",
            value: status.in_front ? "In front" : status.mode === "off" ? "Off" : "Not in front",
            detail: `mode: ${status.mode}`,
          },
          {
            label: "Dropped",
            value: compact(packets("drop")),
            detail: "packets, since it was first attached",
          },
          { label: "Passed", value: compact(packets("pass")), detail: "packets" },
          {
            label: "Addresses let in",
            value: compact(status.peers),
            detail:
              status.peers_left_out > 0
                ? `${plural(status.peers_left_out, "peer")} left out`
                : departed > 0
                  ? `${bytes(departed)} by peers that left`
                  : "all that the node knows",
          },
        ]}
      />
    </>
  );
}

function Obstacle({ status }: { status: AdmissionStatus }) {
  if (status.in_front && !status.problem) return null;
  const isWanted = status.mode !== "off";
  return (
    <div className={css.obstacle}>
      <Notice
        tone={!isWanted ? "info" : status.in_front ? "warn" : "bad"}
        title={
          isWanted ? (status.problem ?? "The program is not in front") : "Kernel admission is off"
        }
      >
        <p>{MODES[status.mode]}</p>
        <p>
          {isWanted
            ? "The node’s own check names what is missing, and which capability or setting helps:"
            : 'With admission.mode = "preferred" in the configuration it is used where the kernel lets it. Whether that would work here:'}
        </p>
        <CodeBlock title="shell" code="keyway check" />
      </Notice>
    </div>
  );
}
