import { Eye, EyeOff, Search, Upload } from "lucide-react";
import {
  forwardRef,
  useRef,
  useState,
  type InputHTMLAttributes,
  type SelectHTMLAttributes,
  type TextareaHTMLAttributes,
} from "react";
import { Button } from "./Button";
import { classes } from "./classes";
import css from "./Input.module.css";

export const TextInput = forwardRef<HTMLInputElement, InputHTMLAttributes<HTMLInputElement>>(
  function TextInput({ className, ...rest }, ref) {
    return (
      <input
        ref={ref}
        type="text"
        autoComplete="off"
        spellCheck={false}
        className={classes(css.input, className)}
        {...rest}
      />
    );
  },
);

type Plain = Omit<InputHTMLAttributes<HTMLInputElement>, "value" | "onChange" | "type">;

interface SecretProps extends Plain {
  onChange: (value: string) => void;
}

/**
 * For keys: hidden unless asked, and nothing that a password manager should offer to keep. React mirrors what
 * it controls into the document's attributes, so the text stays the element's own; it has to stay mounted.
 */
export function SecretInput({ onChange, ...rest }: SecretProps) {
  const [shown, setShown] = useState(false);
  return (
    <span className={css.wrap}>
      <TextInput
        {...rest}
        type={shown ? "text" : "password"}
        autoComplete="new-password"
        data-1p-ignore
        data-lpignore="true"
        className={css.secret}
        onChange={(event) => onChange(event.target.value)}
      />
      <button
        type="button"
        className={css.inside}
        aria-label={shown ? "Hide what is typed" : "Show what is typed"}
        aria-pressed={shown}
        onClick={() => setShown(!shown)}
      >
        {shown ? <EyeOff /> : <Eye />}
      </button>
    </span>
  );
}

/** A secret of several lines, such as a key file: pasted or read from a file. See `SecretInput`. */
export function SecretFile({ onChange, ...rest }: SecretProps & { accept?: string }) {
  const { accept, id, placeholder, disabled, ...described } = rest;
  const area = useRef<HTMLTextAreaElement>(null);
  const file = useRef<HTMLInputElement>(null);
  const read = async (chosen: File | undefined) => {
    if (!chosen || !area.current) return;
    area.current.value = await chosen.text();
    onChange(area.current.value);
  };
  return (
    <span className={css.file}>
      <textarea
        ref={area}
        id={id}
        aria-describedby={described["aria-describedby"]}
        aria-invalid={described["aria-invalid"]}
        required={described.required}
        placeholder={placeholder}
        disabled={disabled}
        autoComplete="off"
        spellCheck={false}
        className={classes(css.input, css.area, css.masked)}
        onChange={(event) => onChange(event.target.value)}
      />
      <Button size="s" icon={<Upload />} onClick={() => file.current?.click()}>
        Choose a file
      </Button>
      <input
        ref={file}
        type="file"
        accept={accept}
        hidden
        onChange={(event) => {
          void read(event.target.files?.[0]);
          event.target.value = "";
        }}
      />
    </span>
  );
}

/** A number, or nothing. What is typed stays as typed, so that "0." can become "0.5". */
export function NumberInput({
  value,
  onChange,
  unit,
  ...rest
}: Plain & {
  value: number | undefined;
  onChange: (value: number | undefined) => void;
  unit?: string;
}) {
  const [typed, setTyped] = useState<string | null>(null);
  const shown = typed !== null && parse(typed) === value ? typed : (value?.toString() ?? "");
  return (
    <span className={css.wrap}>
      <TextInput
        inputMode="decimal"
        {...rest}
        className={classes(css.number, unit && css.withUnit)}
        value={shown}
        onChange={(event) => {
          const text = event.target.value.replace(",", ".");
          if (!/^\d*\.?\d*$/.test(text)) return;
          setTyped(text);
          onChange(parse(text));
        }}
        onBlur={() => setTyped(null)}
      />
      {unit && <span className={css.unit}>{unit}</span>}
    </span>
  );
}

function parse(text: string): number | undefined {
  return text === "" || text === "." ? undefined : Number(text);
}

export function SearchInput({
  value,
  onChange,
  label,
  ...rest
}: Plain & { value: string; onChange: (value: string) => void; label: string }) {
  return (
    <span className={classes(css.wrap, css.search)}>
      <Search aria-hidden="true" />
      <TextInput
        {...rest}
        type="search"
        aria-label={label}
        placeholder={rest.placeholder ?? label}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
    </span>
  );
}

export const TextArea = forwardRef<
  HTMLTextAreaElement,
  TextareaHTMLAttributes<HTMLTextAreaElement>
>(function TextArea({ className, ...rest }, ref) {
  return (
    <textarea
      ref={ref}
      autoComplete="off"
      spellCheck={false}
      className={classes(css.input, css.area, className)}
      {...rest}
    />
  );
});

interface SelectProps<V extends string> extends Omit<
  SelectHTMLAttributes<HTMLSelectElement>,
  "value" | "onChange"
> {
  value: V;
  onChange: (value: V) => void;
  options: readonly { value: V; label: string }[];
}

/** The platform's own: few choices, no search. See `Combobox` for many. */
export function Select<V extends string>({
  value,
  onChange,
  options,
  className,
  ...rest
}: SelectProps<V>) {
  return (
    <select
      className={classes(css.input, css.select, className)}
      value={value}
      onChange={(event) => onChange(event.target.value as V)}
      {...rest}
    >
      {options.map((option) => (
        <option key={option.value} value={option.value}>
          {option.label}
        </option>
      ))}
    </select>
  );
}
