const isNext = (before: Buffer, after: Buffer) =>
  before.buffer === after.buffer && before.byteOffset + before.length === after.byteOffset;

/** Joins bytes; those that stand one after the other in memory, as the events of one piece do, are not copied. */
export function joinBytes(parts: readonly (Buffer | string)[]): Buffer {
  const joined: Buffer[] = [];
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part;
    const last = joined.at(-1);
    if (last === undefined || !isNext(last, bytes)) joined.push(bytes);
    else joined[joined.length - 1] = Buffer.from(last.buffer, last.byteOffset, last.length + bytes.length);
  }
  const [only] = joined;
  return only !== undefined && joined.length === 1 ? only : Buffer.concat(joined);
}
