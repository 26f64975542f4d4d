import * as Popover from "@radix-ui/react-popover";
import { Check, ChevronsUpDown } from "lucide-react";
import { useEffect, useId, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { classes } from "./classes";
import css from "./Combobox.module.css";
import type { ControlProps } from "./Field";
import { TextInput } from "./Input";

export interface Option {
  value: string;
  label: string;
  /** Second line or further words to be found by. */
  detail?: string | undefined;
  icon?: ReactNode;
  group?: string;
}

interface Props {
  control?: ControlProps;
  /** Name for screen readers where no field gives one. */
  label?: string;
  options: readonly Option[];
  /** The chosen value; what is typed when `free`. */
  value: string;
  onChange: (value: string) => void;
  placeholder?: string;
  /** Any text will do; the options are suggestions. */
  free?: boolean;
  /** An option was chosen, where that is more than its value in the field. */
  onChoose?: (value: string) => void;
  /** Enter was pressed on text of one's own. */
  onEnter?: (text: string) => void;
  autoFocus?: boolean;
  disabled?: boolean;
  /** When nothing matches. */
  nothing?: ReactNode;
}

/** Options beyond these are found by typing. */
const SHOWN_MAX = 200;

/** A text field with a list to choose from (WAI-ARIA combobox with list autocompletion). */
export function Combobox(props: Props) {
  const { options, value, onChange, free = false } = props;
  const listId = useId();
  const input = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  /** What is typed since the list opened; `null` shows everything. */
  const [typed, setTyped] = useState<string | null>(null);
  const [active, setActive] = useState(0);
  const chosen = options.find((option) => option.value === value);
  const found = matching(options, typed).slice(0, SHOWN_MAX);
  const text = free ? value : (typed ?? chosen?.label ?? "");

  useEffect(() => {
    if (!open) return;
    list.current?.querySelector("[data-active]")?.scrollIntoView({ block: "nearest" });
  }, [open, active]);

  const show = () => {
    if (open || props.disabled) return;
    setOpen(true);
    setTyped(null);
    setActive(
      Math.max(
        0,
        options.findIndex((option) => option.value === value),
      ),
    );
  };
  const close = () => {
    setOpen(false);
    setTyped(null);
  };
  const choose = (option: Option) => {
    (props.onChoose ?? onChange)(option.value);
    close();
  };
  const type = (next: string) => {
    setOpen(true);
    setTyped(next);
    setActive(0);
    if (free) onChange(next);
  };
  const press = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      if (open) setActive(Math.max(0, Math.min(found.length - 1, active + step)));
      else show();
    } else if (event.key === "Enter" && open) {
      const option = found[active];
      // Free text that was typed is a choice of its own.
      const isOwn = free && typed !== null && typed.trim() !== "" && option?.value !== typed;
      if (option && !isOwn) {
        event.preventDefault();
        choose(option);
      } else {
        event.preventDefault();
        if (free && value.trim()) props.onEnter?.(value);
        close();
      }
    } else if (event.key === "Escape" && open) {
      event.preventDefault();
      event.stopPropagation();
      close();
    } else if (event.key === "Tab") {
      close();
    }
  };

  return (
    <Popover.Root open={open} onOpenChange={(next) => !next && close()}>
      <Popover.Anchor asChild>
        <span className={css.wrap}>
          {chosen?.icon && typed === null && <span className={css.lead}>{chosen.icon}</span>}
          <TextInput
            {...props.control}
            ref={input}
            role="combobox"
            aria-label={props.label}
            aria-expanded={open}
            aria-controls={open ? listId : undefined}
            aria-autocomplete="list"
            aria-activedescendant={open && found[active] ? `${listId}-${active}` : undefined}
            className={classes(css.input, Boolean(chosen?.icon) && typed === null && css.withLead)}
            placeholder={props.placeholder}
            disabled={props.disabled}
            autoFocus={props.autoFocus}
            value={text}
            onChange={(event) => type(event.target.value)}
            onClick={show}
            onKeyDown={press}
          />
          <ChevronsUpDown aria-hidden="true" className={css.arrow} />
        </span>
      </Popover.Anchor>
      <Popover.Portal>
        <Popover.Content
          className={css.popover}
          align="start"
          sideOffset={4}
          collisionPadding={8}
          // The focus stays in the field.
          onOpenAutoFocus={(event) => event.preventDefault()}
          onCloseAutoFocus={(event) => event.preventDefault()}
          onInteractOutside={(event) => {
            if (input.current?.parentElement?.contains(event.target as Node))
              event.preventDefault();
          }}
          onWheel={(event) => event.stopPropagation()}
          onTouchMove={(event) => event.stopPropagation()}
        >
          <div
            ref={list}
            id={listId}
            role="listbox"
            aria-label={props.label ?? "Choices"}
            className={css.list}
          >
            {grouped(found).map(([group, members]) => (
              <div key={group} role="group" aria-label={group || undefined}>
                {group && (
                  <div className={css.group} aria-hidden="true">
                    {group}
                  </div>
                )}
                {members.map(({ option, index }) => (
                  <div
                    key={option.value}
                    id={`${listId}-${index}`}
                    role="option"
                    aria-selected={option.value === value}
                    data-active={index === active ? "" : undefined}
                    className={css.option}
                    onPointerMove={() => setActive(index)}
                    // Before the field loses the focus.
                    onPointerDown={(event) => event.preventDefault()}
                    onClick={() => choose(option)}
                  >
                    {option.icon}
                    <span className={css.text}>
                      <span>{option.label}</span>
                      {option.detail && <span className={css.detail}>{option.detail}</span>}
                    </span>
                    {option.value === value && <Check aria-hidden="true" />}
                  </div>
                ))}
              </div>
            ))}
            {found.length === 0 && (
              <div className={css.nothing}>
                {props.nothing ??
                  (free && typed ? `Enter takes “${typed}” as it is` : "Nothing matches")}
              </div>
            )}
          </div>
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

function matching(options: readonly Option[], typed: string | null): readonly Option[] {
  const words = typed?.toLowerCase().split(/\s+/).filter(Boolean) ?? [];
  if (words.length === 0) return options;
  return options.filter((option) => {
    const text = `${option.label} ${option.detail ?? ""} ${option.value}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

function grouped(options: readonly Option[]) {
  const groups = new Map<string, { option: Option; index: number }[]>();
  options.forEach((option, index) => {
    const group = option.group ?? "";
    groups.set(group, [...(groups.get(group) ?? []), { option, index }]);
  });
  return [...groups];
}
