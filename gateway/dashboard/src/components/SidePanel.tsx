import * as Radix from "@radix-ui/react-dialog";
import { X } from "lucide-react";
import type { ReactNode } from "react";
import { IconButton } from "./Button";
import css from "./SidePanel.module.css";

interface Props {
  onClose: () => void;
  title: ReactNode;
  /** Under the title. */
  lead?: ReactNode;
  /** Beside the button that closes it. */
  actions?: ReactNode;
  children: ReactNode;
}

/** One row of a list, opened beside it. It has an address of its own, so it is open as long as it is drawn. */
export function SidePanel({ onClose, title, lead, actions, children }: Props) {
  return (
    <Radix.Root open onOpenChange={(open) => !open && onClose()}>
      <Radix.Portal>
        {/* Not Radix's overlay, for the reason that `Dialog` gives. */}
        <div className={css.overlay} data-scroll-lock="">
          <Radix.Content
            className={css.panel}
            aria-describedby={undefined}
            // What is to be read comes first, not the button that closes it.
            onOpenAutoFocus={(event) => {
              event.preventDefault();
              (event.currentTarget as HTMLElement).focus();
            }}
          >
            <header className={css.header}>
              <div className={css.heading}>
                <Radix.Title className={css.title}>{title}</Radix.Title>
                {lead && <div className={css.lead}>{lead}</div>}
              </div>
              <div className={css.actions}>
                {actions}
                <Radix.Close asChild>
                  <IconButton label="Close">
                    <X />
                  </IconButton>
                </Radix.Close>
              </div>
            </header>
            <div className={css.body}>{children}</div>
          </Radix.Content>
        </div>
      </Radix.Portal>
    </Radix.Root>
  );
}

/** A part of a panel, under its own heading. */
export function PanelSection({ title, children }: { title: ReactNode; children: ReactNode }) {
  return (
    <section className={css.section}>
      <h3>{title}</h3>
      {children}
    </section>
  );
}
