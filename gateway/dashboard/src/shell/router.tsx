/**
 * The address is the state that survives a reload: `/<page>/<rest…>?<parameters>`. Small enough to be
 * ours: no nested layouts, no loaders.
 */

import {
  useCallback,
  useSyncExternalStore,
  type AnchorHTMLAttributes,
  type MouseEvent,
} from "react";

const CHANGED = "keyway:navigated";

/** Goes to a path of this dashboard. */
export function navigate(to: string, options: { replace?: boolean } = {}): void {
  if (to === location.pathname + location.search) return;
  history[options.replace ? "replaceState" : "pushState"](null, "", to);
  dispatchEvent(new Event(CHANGED));
}

export interface Route {
  /** First segment: `providers`. */
  page: string;
  /** The others, decoded. */
  rest: string[];
  parameters: URLSearchParams;
}

export function useRoute(): Route {
  const address = useSyncExternalStore(subscribe, () => location.pathname + location.search);
  const [path = "", query = ""] = address.split("?", 2);
  const [page = "", ...rest] = path.split("/").filter(Boolean).map(decode);
  return { page, rest, parameters: new URLSearchParams(query) };
}

/** One query parameter as state; empty removes it. Changes replace, so that Back leaves the page. */
export function useParameter(name: string): [string, (value: string) => void] {
  const { parameters } = useRoute();
  const set = useCallback(
    (value: string) => {
      const next = new URLSearchParams(location.search);
      if (value) next.set(name, value);
      else next.delete(name);
      const query = next.toString();
      navigate(location.pathname + (query && `?${query}`), { replace: true });
    },
    [name],
  );
  return [parameters.get(name) ?? "", set];
}

export function Link({
  href,
  onClick,
  ...rest
}: AnchorHTMLAttributes<HTMLAnchorElement> & { href: string }) {
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    // New tabs and windows are the browser's.
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
    if (event.defaultPrevented || !isPlain) return;
    event.preventDefault();
    navigate(href);
  };
  return <a href={href} onClick={follow} {...rest} />;
}

function subscribe(changed: () => void): () => void {
  addEventListener("popstate", changed);
  addEventListener(CHANGED, changed);
  return () => {
    removeEventListener("popstate", changed);
    removeEventListener(CHANGED, changed);
  };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
