import type { Readable } from 'node:stream';

const MAX_BODY_BYTES = 64 * 1024;
/** Longest wait for the body of an error: the status alone is an answer as well. */
const TIMEOUT_MS = 2_000;

async function readText(body: Readable): Promise<string> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    const piece = Buffer.from(chunk);
    pieces.push(piece);
    length += piece.length;
    if (length > MAX_BODY_BYTES) break;
  }
  return Buffer.concat(pieces).toString('utf8');
}

/** Returns the JSON of an error answer; undefined where it has none, is too long or does not come. */
export async function readErrorBody(body: Readable): Promise<unknown> {
  body.on('error', () => {});
  const timer = setTimeout(() => body.destroy(), TIMEOUT_MS);
  try {
    return JSON.parse(await readText(body));
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
