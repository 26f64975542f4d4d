import { Check, Copy as CopyIcon } from "lucide-react";
import { useEffect, useState } from "react";
import { Button, IconButton } from "./Button";

const SHOWN_MS = 1_600;

/** Copies `text`; says so, aloud too. */
export function Copy({
  text,
  label,
  wide = false,
}: {
  text: string;
  label: string;
  wide?: boolean;
}) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = () => void toClipboard(text).then(setCopied);
  const icon = copied ? <Check /> : <CopyIcon />;
  return (
    <>
      {wide ? (
        <Button icon={icon} onClick={copy} aria-label={label}>
          {copied ? "Copied" : "Copy"}
        </Button>
      ) : (
        <IconButton label={copied ? "Copied" : label} onClick={copy}>
          {icon}
        </IconButton>
      )}
      <span role="status" className="visually-hidden">
        {copied ? "Copied" : ""}
      </span>
    </>
  );
}

async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return byHand(text);
  }
}

/** Without TLS and off loopback there is no clipboard interface, only the command. */
function byHand(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  // Inside an open dialog, whose focus trap would else take the selection away.
  (document.activeElement?.closest("[role=dialog]") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
