import type { ReactNode } from "react";
import button from "./Button.module.css";
import { classes } from "./classes";

/** A file from the node; the browser saves it. */
export function DownloadLink({
  href,
  file,
  icon,
  children,
}: {
  href: string;
  /** Its name, where the node gives it none. */
  file: string;
  icon?: ReactNode;
  children: ReactNode;
}) {
  return (
    <a
      href={href}
      download={file}
      className={classes(button.button, button.secondary, button.small, button.link)}
    >
      {icon}
      {children}
    </a>
  );
}
