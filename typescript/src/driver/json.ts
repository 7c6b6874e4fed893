/** Reading untyped JSON. */

/** A JSON object of unknown shape. */
export type Row = Record<string, unknown>;

/** Whether a value is a JSON object. */
export function isRow(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value where it is a JSON object. */
export function row(value: unknown): Row | undefined {
  return isRow(value) ? value : undefined;
}

/** The JSON objects in a value that is expected to be a list of them. */
export function rows(value: unknown): Row[] {
  return Array.isArray(value) ? value.filter(isRow) : [];
}

/** The value where it is a string. */
export function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** The strings in a value that is expected to be a list of them. */
export function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : [];
}
