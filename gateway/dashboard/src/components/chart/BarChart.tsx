import "uplot/dist/uPlot.min.css";
import { useEffect, useId, useMemo, useRef, useState, type KeyboardEvent } from "react";
import uPlot from "uplot";
import { subscribe } from "@/shell/theme";
import { colorOf } from "@/style/color";
import css from "./BarChart.module.css";
import { Swatch } from "./Legend";
import { colorToken, stacked, total, type Series } from "./stack";

export interface Bar {
  /** Under the axis, where there is room. */
  label: string;
  /** In the tooltip. */
  title: string;
}

interface Props {
  /** What it shows, for screen readers. */
  label: string;
  bars: readonly Bar[];
  /** From the bottom up. */
  series: readonly Series[];
  format: (value: number) => string;
  /** Of the axis: shorter. */
  formatAxis: (value: number) => string;
}

const HEIGHT = 240;
const LABEL_PX = 64;

/** Stacked bars. A table beside it has to say the same. */
export function BarChart(props: Props) {
  const { label, bars, series, format } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const [at, setAt] = useState<{ index: number; left: number } | null>(null);
  const theme = useThemeCount();
  const hintId = useId();
  const sums = useMemo(() => stacked(series), [series]);

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const chart = new uPlot(options(element.clientWidth, props, setAt), data(bars, sums), element);
    plot.current = chart;
    const observer = new ResizeObserver(() =>
      chart.setSize({ width: element.clientWidth, height: HEIGHT }),
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.destroy();
      plot.current = null;
      setAt(null);
    };
    // Formatters come with the series.
  }, [bars, series, sums, theme]);

  const point = (index: number) => {
    const chart = plot.current;
    if (!chart || bars.length === 0) return;
    const inside = Math.max(0, Math.min(bars.length - 1, index));
    chart.setCursor({ left: chart.valToPos(inside, "x"), top: 0 });
  };
  const press = (event: KeyboardEvent) => {
    const last = bars.length - 1;
    const current = at?.index;
    const target = {
      ArrowRight: current === undefined ? 0 : current + 1,
      ArrowLeft: current === undefined ? last : current - 1,
      Home: 0,
      End: last,
    }[event.key];
    if (target !== undefined) {
      event.preventDefault();
      point(target);
    } else if (event.key === "Escape" && at) {
      setAt(null);
    }
  };
  const bar = at && bars[at.index];
  const shown = at ? series.filter(({ values }) => (values[at.index] ?? 0) > 0) : [];
  return (
    <div
      className={css.chart}
      role="group"
      aria-roledescription="chart"
      aria-label={label}
      aria-describedby={hintId}
      tabIndex={0}
      onKeyDown={press}
      onBlur={() => setAt(null)}
    >
      <p id={hintId} className="visually-hidden">
        Left and right arrow keys go from bar to bar. The table below has the same figures.
      </p>
      <div ref={box} className={css.plot} aria-hidden="true" />
      {at && bar && (
        <div
          className={css.tooltip}
          style={at.left > (box.current?.clientWidth ?? 0) / 2 ? before(at.left) : after(at.left)}
        >
          <strong>{bar.title}</strong>
          <ul>
            {[...shown].reverse().map((one) => (
              <li key={one.key}>
                <Swatch color={colorToken(one, series.indexOf(one))} />
                <span>{one.label}</span>
                <b>{format(one.values[at.index] ?? 0)}</b>
              </li>
            ))}
          </ul>
          {shown.length !== 1 && (
            <p>
              <span>Total</span>
              <b>{format(total(series, at.index))}</b>
            </p>
          )}
        </div>
      )}
      <p className="visually-hidden" role="status">
        {at && bar && spoken(bar, shown, at.index, format(total(series, at.index)), format)}
      </p>
    </div>
  );
}

const GAP = 14;
const before = (left: number) => ({ right: `calc(100% - ${left - GAP}px)` });
const after = (left: number) => ({ left: `${left + GAP}px` });

function spoken(
  bar: Bar,
  shown: readonly Series[],
  index: number,
  sum: string,
  format: (value: number) => string,
): string {
  const parts = shown.map(({ label, values }) => `${label} ${format(values[index] ?? 0)}`);
  return `${bar.title}: ${sum}. ${parts.length > 1 ? parts.join(", ") : ""}`;
}

/** The highest sum first, so that lower ones are drawn over it. */
function data(bars: readonly Bar[], sums: number[][]): uPlot.AlignedData {
  return [bars.map((_, index) => index), ...[...sums].reverse()];
}

function options(
  width: number,
  { bars, series, formatAxis }: Props,
  onPoint: (at: { index: number; left: number } | null) => void,
): uPlot.Options {
  const grid = colorOf("--border");
  const text = colorOf("--text-3");
  const surface = colorOf("--surface");
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const paths = uPlot.paths.bars?.({ size: [0.72, 44], radius: 0.08 });
  const axis: uPlot.Axis = { stroke: text, font, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      points: { show: false },
      drag: { setScale: false, x: false, y: false },
    },
    scales: {
      x: { time: false, range: (_, low, high) => [low - 0.6, high + 0.6] },
      y: { range: (_, _low, high) => [0, high > 0 ? high * 1.08 : 1] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        splits: (chart) => splits(bars.length, chart.bbox.width / devicePixelRatio),
        values: (_, at) => at.map((index) => bars[index]?.label ?? ""),
      },
      {
        ...axis,
        grid: { stroke: grid, width: 1 },
        size: 58,
        values: (_, at) => at.map(formatAxis),
      },
    ],
    series: [
      {},
      ...[...series].reverse().map((one, index): uPlot.Series => {
        const color = colorOf(colorToken(one, series.length - 1 - index));
        return {
          fill: color,
          // A line between neighbours tells them apart without their colours.
          stroke: series.length > 1 ? surface : color,
          width: series.length > 1 ? 1 : 0,
          points: { show: false },
          ...(paths ? { paths } : {}),
        };
      }),
    ],
    hooks: {
      setCursor: [
        (chart) => {
          const { idx, left } = chart.cursor;
          if (idx === null || idx === undefined || left === undefined || left < 0) {
            onPoint(null);
          } else {
            const inPlot = chart.bbox.left / devicePixelRatio;
            onPoint({ index: idx, left: inPlot + chart.valToPos(idx, "x") });
          }
        },
      ],
    },
  };
}

/** Every bar's index, or every n-th where they would not fit. */
function splits(many: number, width: number): number[] {
  const step = Math.max(1, Math.ceil((many * LABEL_PX) / Math.max(width, LABEL_PX)));
  return Array.from({ length: Math.ceil(many / step) }, (_, index) => index * step);
}

/** Changes when colours may have changed. */
function useThemeCount(): number {
  const [times, setTimes] = useState(0);
  useEffect(() => subscribe(() => setTimes((before) => before + 1)), []);
  return times;
}
