/** The colour that a token has in the theme at hand, for canvases, which cannot read style sheets. */
export function colorOf(token: `--${string}`): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${token})`;
  document.body.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}
