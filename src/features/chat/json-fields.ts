/** The members of a JSON object. */
export type Fields = Readonly<Record<string, unknown>>;

/** Tells whether a value is a JSON object, no list. */
export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Returns what may be an object as one, as it is; an empty one for anything else. */
export const toFields = (value: unknown): Fields => (isFields(value) ? value : {});

/** Returns what may be a list as one; an empty one for anything else. */
export const toList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** Returns a JSON value; undefined where the text is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
