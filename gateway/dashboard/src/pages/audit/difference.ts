/** What differs between two documents, field by field. */

export interface Difference {
  /** `limits.token_limit.user_cap`, `models[1].id` */
  path: string;
  /** `undefined`: was not there. */
  before: unknown;
  after: unknown;
}

/** Fields that changed, in the order of the newer document. Whole lists of plain values are one field. */
export function differences(before: unknown, after: unknown, path = ""): Difference[] {
  if (same(before, after)) return [];
  if (isObject(before) && isObject(after)) {
    const names = [...new Set([...Object.keys(after), ...Object.keys(before)])];
    return names.flatMap((name) =>
      differences(before[name], after[name], path ? `${path}.${name}` : name),
    );
  }
  if (isListOfObjects(before) && isListOfObjects(after)) {
    const many = Math.max(before.length, after.length);
    return Array.from({ length: many }, (_, index) => index).flatMap((index) =>
      differences(before[index], after[index], `${path}[${index}]`),
    );
  }
  return [{ path, before, after }];
}

/** A document that is new or gone, as fields; what is empty is left out. */
export function fields(document: unknown): Difference[] {
  return differences({}, document).filter(({ after }) => !isEmpty(after));
}

function isEmpty(value: unknown): boolean {
  return value === null || value === "" || (Array.isArray(value) && value.length === 0);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isListOfObjects(value: unknown): value is Record<string, unknown>[] {
  return Array.isArray(value) && value.length > 0 && value.every(isObject);
}

function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((one, index) => same(one, b[index]));
  }
  if (!isObject(a) || !isObject(b)) return false;
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => name in b && same(a[name], b[name]))
  );
}

/** A value on one line. */
export function shown(value: unknown): string {
  if (value === undefined) return "";
  return typeof value === "string" ? value || "“”" : JSON.stringify(value);
}
