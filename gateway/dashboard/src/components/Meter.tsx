import { percent } from "@/format/number";
import { classes } from "./classes";
import css from "./Meter.module.css";

interface Props {
  /** What it measures, for screen readers. */
  label: string;
  /** Of the cap, 0 to 100 and beyond. */
  percent: number;
  /** What would come on top, as another part of the bar. */
  more?: number | undefined;
}

/** Where a bucket is nearly full. */
export const NEARLY = 80;

/** How full a bucket is. The figure beside it says the same as the colour. */
export function Meter({ label, percent: used, more = 0 }: Props) {
  const tone = used >= 100 ? css.full : used >= NEARLY ? css.nearly : css.room;
  return (
    <div
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.min(100, Math.round(used))}
      aria-valuetext={percent(used)}
      className={css.meter}
    >
      <svg width="100%" height="6" aria-hidden="true">
        <rect className={css.track} width="100%" height="6" rx="3" />
        {more > 0 && (
          <rect className={css.more} width={`${Math.min(100, used + more)}%`} height="6" rx="3" />
        )}
        {used > 0 && (
          <rect
            className={classes(css.bar, tone)}
            width={`${Math.max(1, Math.min(100, used))}%`}
            height="6"
            rx="3"
          />
        )}
      </svg>
    </div>
  );
}
