import { X } from "lucide-react";
import { useState } from "react";
import { Combobox, type Option } from "./Combobox";
import type { ControlProps } from "./Field";
import css from "./MultiSelect.module.css";

interface Props {
  control?: ControlProps;
  label: string;
  options: readonly Option[];
  values: readonly string[];
  onChange: (values: string[]) => void;
  placeholder?: string;
  /** Further values can be typed: Enter or a comma adds one. */
  free?: boolean;
}

/** Several of a list, each to be taken away again. */
export function MultiSelect({
  control,
  label,
  options,
  values,
  onChange,
  placeholder,
  free,
}: Props) {
  const rest = options.filter((option) => !values.includes(option.value));
  const add = (value: string) => {
    const own = value.trim();
    if (own && !values.includes(own)) onChange([...values, own]);
  };
  return (
    <div className={css.box}>
      {values.length > 0 && (
        <ul className={css.chosen} aria-label={`${label}: chosen`}>
          {values.map((value) => {
            const name = options.find((option) => option.value === value)?.label ?? value;
            return (
              <li key={value} className={css.chip}>
                <span>{name}</span>
                <button
                  type="button"
                  aria-label={`Take away ${name}`}
                  onClick={() => onChange(values.filter((one) => one !== value))}
                >
                  <X aria-hidden="true" />
                </button>
              </li>
            );
          })}
        </ul>
      )}
      {free ? (
        <FreeInput
          {...(control ? { control } : {})}
          label={label}
          options={rest}
          onAdd={add}
          placeholder={placeholder}
        />
      ) : (
        <Combobox
          {...(control ? { control } : {})}
          label={label}
          options={rest}
          value=""
          onChange={add}
          placeholder={rest.length === 0 ? "All are chosen" : (placeholder ?? "")}
        />
      )}
    </div>
  );
}

function FreeInput({
  onAdd,
  placeholder,
  ...rest
}: {
  control?: ControlProps;
  label: string;
  options: readonly Option[];
  onAdd: (value: string) => void;
  placeholder: string | undefined;
}) {
  const [text, setText] = useState("");
  const add = (value: string) => {
    onAdd(value);
    setText("");
  };
  return (
    <div onBlur={() => text.trim() && add(text)}>
      <Combobox
        {...rest}
        free
        value={text}
        onChange={(value) => (value.endsWith(",") ? add(value.slice(0, -1)) : setText(value))}
        onChoose={add}
        onEnter={add}
        {...(placeholder ? { placeholder } : {})}
      />
    </div>
  );
}
