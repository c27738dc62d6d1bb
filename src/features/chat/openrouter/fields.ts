export type Fields = Readonly<Record<string, unknown>>;

/** Returns the members of what may be an object or a list; none of anything else. */
export const toFields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? { ...value } : {});
