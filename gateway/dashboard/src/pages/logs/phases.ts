/** Parts of an exchange's time, as a waterfall shows them. */

import type { Timeline } from "@/api/usage";

export interface Phase {
  id: "receive" | "decide" | "send" | "wait" | "first_token" | "stream";
  label: string;
  /** Milliseconds since the request's first byte. */
  start: number;
  end: number;
}

const STEPS = [
  { id: "receive", label: "Request arrives", mark: "received_ms" },
  { id: "decide", label: "Policy and limits", mark: "reserved_ms" },
  { id: "send", label: "Connect and send", mark: "sent_ms" },
  { id: "wait", label: "Provider’s first byte", mark: "first_byte_ms" },
  { id: "first_token", label: "First token", mark: "first_token_ms" },
] as const;

/** What was reached, in order; the last part ends with the exchange. A body may still arrive while it is decided
 *  on, so a step that was done before the one in front of it takes no time. */
export function phases(timeline: Timeline): Phase[] {
  const found: Phase[] = [];
  let at = 0;
  let last: (typeof STEPS)[number] | undefined;
  for (const step of STEPS) {
    const mark = timeline[step.mark];
    if (mark === null) continue;
    const end = Math.max(at, mark);
    found.push({ id: step.id, label: step.label, start: at, end });
    at = end;
    last = step;
  }
  if (timeline.end_ms > at) {
    const isStream = last?.id === "first_token" || last?.id === "wait";
    found.push(
      isStream
        ? { id: "stream", label: "Rest of the answer", start: at, end: timeline.end_ms }
        : unfinished(last?.id, at, timeline.end_ms),
    );
  }
  return found;
}

/** What was under way when it ended. */
function unfinished(after: Phase["id"] | undefined, start: number, end: number): Phase {
  switch (after) {
    case undefined:
      return { id: "receive", label: "Request arrives", start, end };
    case "receive":
      return { id: "decide", label: "Policy and limits", start, end };
    case "decide":
      return { id: "send", label: "Connect and send", start, end };
    default:
      return { id: "wait", label: "Wait for the provider", start, end };
  }
}
