/** Requests to the node's management API. Errors carry what the node said, and at which field. */

const BASE = "/api/agent-network";

/** An answer that is none: the node refused, failed or did not answer. */
export class ApiError extends Error {
  constructor(
    /** HTTP status; 0 when there was no answer. */
    readonly status: number,
    message: string,
    /** Path of the field at fault, such as `models[0].id`. */
    readonly field?: string,
  ) {
    super(message);
    this.name = "ApiError";
  }

  /** Nobody is logged in, or no longer. */
  get isUnauthorized(): boolean {
    return this.status === 401;
  }
}

/** A document with the revision that a change of it has to name. */
export interface Tagged<T> {
  value: T;
  etag: string | null;
}

export type Query = Record<
  string,
  string | number | boolean | readonly string[] | null | undefined
>;

interface Options {
  query?: Query;
  body?: unknown;
  /** Change it only as it was when read. */
  ifMatch?: string | null;
  signal?: AbortSignal;
}

export async function get<T>(path: string, options: Options = {}): Promise<T> {
  return (await call<T>("GET", path, options)).value;
}

export async function getTagged<T>(path: string, options: Options = {}): Promise<Tagged<T>> {
  return call<T>("GET", path, options);
}

export async function post<T>(path: string, body: unknown, options: Options = {}): Promise<T> {
  return (await call<T>("POST", path, { ...options, body })).value;
}

export async function put<T>(path: string, body: unknown, options: Options = {}): Promise<T> {
  return (await call<T>("PUT", path, { ...options, body })).value;
}

export async function remove(path: string, options: Options = {}): Promise<void> {
  await call("DELETE", path, options);
}

export async function getText(path: string): Promise<string> {
  const response = await send("GET", path, {});
  return response.text();
}

/** The address of `path`, for links and event streams. */
export function address(path: string, query: Query = {}): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) pairs.append(name, String(one));
  }
  const text = pairs.toString();
  return `${BASE}${path}${text && `?${text}`}`;
}

async function call<T>(method: string, path: string, options: Options): Promise<Tagged<T>> {
  const response = await send(method, path, options);
  const text = await response.text();
  return {
    value: (text ? JSON.parse(text) : undefined) as T,
    etag: response.headers.get("etag"),
  };
}

async function send(method: string, path: string, options: Options): Promise<Response> {
  const headers = new Headers({ accept: "application/json" });
  if (options.body !== undefined) headers.set("content-type", "application/json");
  if (options.ifMatch) headers.set("if-match", options.ifMatch);
  let response: Response;
  try {
    response = await fetch(address(path, options.query), {
      method,
      headers,
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      ...(options.signal ? { signal: options.signal } : {}),
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(
      0,
      "The node does not answer. Is it running, and does this machine reach it?",
    );
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response: Response): Promise<ApiError> {
  const plain = `The node answered with status ${response.status}.`;
  try {
    const body = (await response.json()) as { message?: string; field?: string };
    return new ApiError(response.status, body.message ?? plain, body.field);
  } catch {
    return new ApiError(response.status, plain);
  }
}
