// The theme that was chosen; "system" stores nothing. See src/shell/theme.ts.
try {
  const theme = localStorage.getItem("keyway-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is switched off: the system's theme it is.
}
