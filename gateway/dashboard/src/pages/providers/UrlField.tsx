import { useEffect, useRef } from "react";
import type { CatalogEntry } from "@/api/types";
import { Field } from "@/components/Field";
import { TextInput } from "@/components/Input";
import { PART } from "./draft";
import css from "./UrlField.module.css";

interface Props {
  entry: CatalogEntry;
  value: string;
  onChange: (value: string) => void;
  error: string | undefined;
}

/** An address whose `<parts>` stand out until they are filled in; the first one is there to be typed over. */
export function UrlField({ entry, value, onChange, error }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const shade = useRef<HTMLSpanElement>(null);
  const selectPart = () => {
    const part = PART.exec(input.current?.value ?? "");
    if (part && input.current) {
      input.current.focus();
      input.current.setSelectionRange(part.index, part.index + part[0].length);
    }
  };
  // Once, for the address that the catalog suggests.
  useEffect(selectPart, []);
  return (
    <Field
      label="Upstream URL"
      error={error}
      hint={entry.url_help ?? "Where requests go. The path that agents use is joined to it."}
    >
      {(control) => (
        <span className={css.wrap}>
          <span ref={shade} className={css.shade} aria-hidden="true">
            {marked(value)}
          </span>
          <TextInput
            {...control}
            ref={input}
            className={css.input}
            inputMode="url"
            placeholder="https://"
            value={value}
            onChange={(event) => onChange(event.target.value)}
            onScroll={(event) => {
              if (shade.current) shade.current.scrollLeft = event.currentTarget.scrollLeft;
            }}
            onDoubleClick={selectPart}
          />
        </span>
      )}
    </Field>
  );
}

function marked(url: string) {
  return url
    .split(/(<[a-z0-9_-]+>)/gi)
    .map((piece, index) => (PART.test(piece) ? <mark key={index}>{piece}</mark> : piece));
}
