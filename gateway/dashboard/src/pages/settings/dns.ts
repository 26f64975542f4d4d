/** Lines of a zone file that lead to the node: one per address that it listens on. */
export function records(endpoint: string, listeners: readonly string[]): string[] {
  const lines = listeners.flatMap((listener) => {
    const host = /^\[(.+)\]:\d+$/.exec(listener)?.[1];
    if (host) return isEverything(host) ? [] : [`${endpoint}. 300 IN AAAA ${host}`];
    const v4 = /^([\d.]+):\d+$/.exec(listener)?.[1];
    return v4 && !isEverything(v4) ? [`${endpoint}. 300 IN A ${v4}`] : [];
  });
  return [...new Set(lines)];
}

/** An address that only says "all of them" leads nowhere. */
function isEverything(host: string): boolean {
  return host === "::" || host === "0.0.0.0";
}
