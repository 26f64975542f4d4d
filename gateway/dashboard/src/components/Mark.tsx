import css from "./Mark.module.css";

/** A vendor's initials on its colour; no trademarks. */
export function Mark({ name, color, size = 28 }: { name: string; color: string; size?: number }) {
  return (
    <svg className={css.mark} width={size} height={size} viewBox="0 0 28 28" aria-hidden="true">
      <rect width="28" height="28" rx="7" fill={color} />
      <text x="14" y="18.4" textAnchor="middle" fill={isLight(color) ? "#17171a" : "#ffffff"}>
        {initials(name)}
      </text>
    </svg>
  );
}

function initials(name: string): string {
  const words = name.split(/[\s/-]+/).filter((word) => /^[a-z0-9]/i.test(word));
  const [first = "?", second] = words;
  // "OpenAI" is OA, "vLLM" is VL, "AWS Bedrock" is AB.
  const inner = first.slice(1).match(/[A-Z]/)?.[0];
  return (first[0] + (second?.[0] ?? inner ?? first[1] ?? "")).toUpperCase();
}

/** Perceived brightness (ITU-R BT.601), to choose the letters' colour. */
function isLight(color: string): boolean {
  const value = Number.parseInt(color.replace("#", ""), 16);
  const [r, g, b] = [(value >> 16) & 255, (value >> 8) & 255, value & 255];
  return r * 0.299 + g * 0.587 + b * 0.114 > 160;
}
