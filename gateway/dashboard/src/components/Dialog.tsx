import * as Radix from "@radix-ui/react-dialog";
import { X } from "lucide-react";
import { useState, type FormEvent, type ReactNode } from "react";
import { Button } from "./Button";
import { classes } from "./classes";
import css from "./Dialog.module.css";
import { Notice } from "./Notice";

interface Props {
  open: boolean;
  onClose: () => void;
  title: ReactNode;
  /** One sentence under the title. */
  description?: ReactNode;
  size?: "s" | "m" | "l";
  /** Between the title and the body: steps, tabs. */
  head?: ReactNode;
  footer?: ReactNode;
  /** Makes the whole a form: Enter sends it. */
  onSubmit?: () => void;
  /** Clicking beside it is no reason to lose what was typed. */
  keepOnOutsideClick?: boolean;
  children: ReactNode;
}

/**
 * A modal: focus is held inside, Escape closes, the opener gets the focus back. Radix's own overlay is not
 * used, as its scroll lock writes a style element, which the content security policy forbids.
 */
export function Dialog(props: Props) {
  const { open, onClose, title, description, size = "m", head, footer, onSubmit, children } = props;
  // An address opens it as well as a button, so Radix knows no trigger to go back to.
  const [opener] = useState(() => document.activeElement);
  const content = (
    <>
      <header className={css.header}>
        <div>
          <Radix.Title className={css.title}>{title}</Radix.Title>
          {description && (
            <Radix.Description className={css.description}>{description}</Radix.Description>
          )}
        </div>
        {/* Without a tooltip, which Escape would close before the dialog. */}
        <Radix.Close className={css.close} aria-label="Close">
          <X aria-hidden="true" />
        </Radix.Close>
      </header>
      {head}
      <div className={css.body}>{children}</div>
      {footer && <footer className={css.footer}>{footer}</footer>}
    </>
  );
  return (
    <Radix.Root open={open} onOpenChange={(isOpen) => !isOpen && onClose()}>
      <Radix.Portal>
        <div className={css.overlay} data-scroll-lock="">
          <Radix.Content
            className={classes(css.dialog, css[size])}
            {...(description ? {} : { "aria-describedby": undefined })}
            onCloseAutoFocus={(event) => {
              event.preventDefault();
              goBack(opener);
            }}
            onPointerDownOutside={(event) => props.keepOnOutsideClick && event.preventDefault()}
          >
            {onSubmit ? (
              <form className={css.form} noValidate onSubmit={submit(onSubmit)}>
                {content}
              </form>
            ) : (
              content
            )}
          </Radix.Content>
        </div>
      </Radix.Portal>
    </Radix.Root>
  );
}

/** To the opener; to the page's beginning if it is gone, as a menu's entry is. */
function goBack(opener: Element | null): void {
  const isThere = opener instanceof HTMLElement && opener.isConnected && opener !== document.body;
  (isThere ? opener : document.getElementById("main"))?.focus();
}

function submit(onSubmit: () => void) {
  return (event: FormEvent) => {
    event.preventDefault();
    // Portals inside a dialog bubble their submits through React's tree.
    event.stopPropagation();
    onSubmit();
  };
}

interface ConfirmProps {
  open: boolean;
  onClose: () => void;
  title: string;
  /** What the button does: "Remove provider". */
  action: string;
  busy: boolean;
  error?: string | undefined;
  onConfirm: () => void;
  children: ReactNode;
}

/** Before what cannot be undone. */
export function Confirm({
  open,
  onClose,
  title,
  action,
  busy,
  error,
  onConfirm,
  children,
}: ConfirmProps) {
  return (
    <Dialog
      open={open}
      onClose={onClose}
      title={title}
      size="s"
      onSubmit={onConfirm}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button look="danger" type="submit" busy={busy}>
            {action}
          </Button>
        </>
      }
    >
      <div className={css.text}>{children}</div>
      {error && <Notice tone="bad">{error}</Notice>}
    </Dialog>
  );
}
