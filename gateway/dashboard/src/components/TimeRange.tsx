import { bounds, dayOf, daysOf, type Zone } from "@/format/range";
import { Select, TextInput } from "./Input";
import css from "./TimeRange.module.css";

interface Props {
  label: string;
  /** As in `format/range`. */
  value: string;
  onChange: (range: string) => void;
  presets: readonly { value: string; label: string }[];
  zone: Zone;
}

const OWN = "own";

/** A span of time: one of a few that end now, or days of one's own. */
export function TimeRange({ label, value, onChange, presets, zone }: Props) {
  const days = daysOf(value);
  const own = () => {
    const today = dayOf(Date.now(), zone);
    const start = bounds(value, zone, Date.now())?.start;
    onChange(`${start ? dayOf(Date.parse(start), zone) : today}..${today}`);
  };
  return (
    <div className={css.range} role="group" aria-label={label}>
      <Select
        aria-label={label}
        value={days ? OWN : value}
        onChange={(next) => (next === OWN ? own() : onChange(next))}
        options={[...presets, { value: OWN, label: "Days…" }]}
      />
      {days && (
        <>
          <TextInput
            type="date"
            aria-label="First day"
            required
            max={days.to}
            value={days.from}
            onChange={({ target }) => target.value && onChange(`${target.value}..${days.to}`)}
          />
          <TextInput
            type="date"
            aria-label="Last day"
            required
            min={days.from}
            value={days.to}
            onChange={({ target }) => target.value && onChange(`${days.from}..${target.value}`)}
          />
        </>
      )}
    </div>
  );
}
