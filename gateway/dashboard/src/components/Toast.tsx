import * as Radix from "@radix-ui/react-toast";
import { X } from "lucide-react";
import { useSyncExternalStore, type ReactNode } from "react";
import { Dot } from "./Badge";
import { IconButton } from "./Button";
import css from "./Toast.module.css";

interface Message {
  id: number;
  tone: "ok" | "bad";
  text: string;
}

const SHOWN_MS = 5_000;
let messages: readonly Message[] = [];
let nextId = 0;
const listeners = new Set<() => void>();

/** Says that something is done, or is not, whatever the page shows by then. */
export function toast(text: string, tone: Message["tone"] = "ok"): void {
  set([...messages, { id: nextId++, tone, text }]);
}

function set(next: readonly Message[]): void {
  messages = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function Toaster({ children }: { children: ReactNode }) {
  const shown = useSyncExternalStore(subscribe, () => messages);
  return (
    <Radix.Provider duration={SHOWN_MS} label="Message">
      {children}
      {shown.map((message) => (
        <Radix.Root
          key={message.id}
          className={css.toast}
          type={message.tone === "bad" ? "foreground" : "background"}
          onOpenChange={(open) => !open && set(messages.filter((one) => one.id !== message.id))}
        >
          <Dot tone={message.tone} />
          <Radix.Title className={css.text}>{message.text}</Radix.Title>
          <Radix.Close asChild>
            <IconButton label="Dismiss">
              <X />
            </IconButton>
          </Radix.Close>
        </Radix.Root>
      ))}
      <Radix.Viewport className={css.viewport} />
    </Radix.Provider>
  );
}
