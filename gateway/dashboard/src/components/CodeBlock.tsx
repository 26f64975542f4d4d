import css from "./CodeBlock.module.css";
import { Copy } from "./Copy";

/** Text to take elsewhere, as it is. */
export function CodeBlock({ title, code }: { title?: string; code: string }) {
  return (
    <figure className={css.block}>
      <figcaption>
        <span>{title}</span>
        <Copy text={code} label={title ? `Copy ${title}` : "Copy"} />
      </figcaption>
      {/* Scrolls sideways, so it has to be reachable by keyboard. */}
      <pre tabIndex={0} aria-label={title ?? "Code"} role="region">
        {code}
      </pre>
    </figure>
  );
}
