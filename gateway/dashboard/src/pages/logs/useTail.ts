import { useEffect, useReducer, useRef, useState } from "react";
import { address, type Query } from "@/api/http";
import type { AccessLogEntry } from "@/api/usage";
import { backoff, NOTHING, paused, received, resumed, type Tail } from "./tail";

/** How often rows that came are drawn: rates beyond it are no work for the browser. */
const DRAW_MS = 250;

export type Connection =
  { state: "connecting" } | { state: "open" } | { state: "waiting"; until: number };

type Action =
  | { do: "take"; entries: readonly AccessLogEntry[] }
  | { do: "pause" }
  | { do: "resume" }
  | { do: "clear" };

function reduce(tail: Tail, action: Action): Tail {
  switch (action.do) {
    case "take":
      return received(tail, action.entries, Date.now());
    case "pause":
      return paused(tail);
    case "resume":
      return resumed(tail);
    case "clear":
      return NOTHING;
  }
}

/** Entries as they become visible. A feed that breaks is taken up again behind the last entry that came. */
export function useTail(query: Query) {
  const [tail, dispatch] = useReducer(reduce, NOTHING);
  const [connection, setConnection] = useState<Connection>({ state: "connecting" });
  /** The node cut us off, as we took too little. */
  const [wasSlow, setWasSlow] = useState(false);
  const key = JSON.stringify(query);
  const now = useRef(() => {});

  useEffect(() => {
    dispatch({ do: "clear" });
    setWasSlow(false);
    let source: EventSource | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let tries = 0;
    let last: string | undefined;
    let waiting: AccessLogEntry[] = [];

    const draw = setInterval(() => {
      if (waiting.length === 0) return;
      dispatch({ do: "take", entries: waiting });
      waiting = [];
    }, DRAW_MS);
    const again = () => {
      source?.close();
      const pause = backoff(tries);
      tries += 1;
      setConnection({ state: "waiting", until: Date.now() + pause });
      clearTimeout(timer);
      timer = setTimeout(open, pause);
    };
    const open = () => {
      source?.close();
      setConnection({ state: "connecting" });
      const parameters = JSON.parse(key) as Query;
      source = new EventSource(address("/access-logs/stream", { ...parameters, after: last }));
      source.onopen = () => {
        tries = 0;
        setConnection({ state: "open" });
      };
      source.addEventListener("entry", (event) => {
        last = event.lastEventId;
        waiting.push(JSON.parse(event.data as string) as AccessLogEntry);
      });
      source.addEventListener("end", (event) => {
        const { reason } = JSON.parse(event.data as string) as { reason: string };
        if (reason === "too_slow") setWasSlow(true);
        again();
      });
      source.onerror = again;
    };
    now.current = () => {
      clearTimeout(timer);
      tries = 0;
      open();
    };
    open();
    return () => {
      clearInterval(draw);
      clearTimeout(timer);
      source?.close();
    };
  }, [key]);

  return {
    tail,
    connection,
    wasSlow,
    pause: () => dispatch({ do: "pause" }),
    resume: () => dispatch({ do: "resume" }),
    clear: () => dispatch({ do: "clear" }),
    reconnect: () => now.current(),
  };
}
