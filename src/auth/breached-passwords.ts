import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { StartupError } from '../config/startup-error.js';
import { ApiError } from '../platform/errors.js';

/** Longest line of the list: 40 hex digits, a colon, a count and the line's end, with room to spare. */
const MAX_LINE_BYTES = 128;
const LINE = /^([0-9A-F]{40})(:[0-9]+)?\r?$/i;

/** A list of passwords from leaks, which stays on the disk: it has tens of gigabytes. */
export interface BreachedPasswords {
  /** Returns whether a password is on the list. @throws {ApiError} SERVICE_UNAVAILABLE where the list cannot be read */
  readonly has: (password: string) => Promise<boolean>;
  readonly close: () => Promise<void>;
}

interface Line {
  readonly digest: string;
  /** Where it begins and the next one does, in bytes. */
  readonly start: number;
  readonly end: number;
}

/** Reads the first line that begins at an offset or after it; undefined behind the last one. */
async function readLine(file: FileHandle, offset: number): Promise<Line | undefined> {
  // From one byte earlier, so that a line that begins exactly there is not taken for the rest of one.
  const from = Math.max(0, offset - 1);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(2 * MAX_LINE_BYTES), 0, 2 * MAX_LINE_BYTES, from);
  const text = buffer.toString('latin1', 0, bytesRead);
  const begin = offset === 0 ? 0 : text.indexOf('\n') + 1;
  if ((offset > 0 && begin === 0) || begin >= text.length) return undefined;
  const newline = text.indexOf('\n', begin);
  const end = newline === -1 ? text.length : newline + 1;
  const digest = LINE.exec(text.slice(begin, newline === -1 ? text.length : newline))?.[1];
  if (digest === undefined) throw new Error('not a sorted list of SHA-1 digests');
  return { digest: digest.toUpperCase(), start: from + begin, end: from + end };
}

/** Looks a digest up by halving the file, some 35 reads for a billion lines. */
async function search(file: FileHandle, digest: string): Promise<boolean> {
  let low = 0;
  let high = (await file.stat()).size;
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    const line = await readLine(file, middle);
    if (line?.digest === digest) return true;
    if (line === undefined || line.start >= high || line.digest > digest) high = middle;
    else low = line.end;
  }
  return false;
}

/**
 * Opens a list as haveibeenpwned publishes it: a line a password, `<SHA-1 in hex>:<count>`, sorted by digest. Nothing is
 * asked on the internet.
 * @throws {StartupError} for a file that cannot be read, or is none
 */
export async function openBreachedPasswords(path: string): Promise<BreachedPasswords> {
  const file = await open(path).catch((error: unknown) => {
    throw new StartupError('BREACHED_PASSWORDS_FILE cannot be read', { cause: error });
  });
  try {
    await readLine(file, 0);
  } catch (error) {
    await file.close();
    throw new StartupError('BREACHED_PASSWORDS_FILE is not a sorted list of SHA-1 digests', { cause: error });
  }
  return {
    has: async (password) => {
      const digest = createHash('sha1').update(password).digest('hex').toUpperCase();
      try {
        return await search(file, digest);
      } catch (error) {
        throw new ApiError('SERVICE_UNAVAILABLE', { cause: error });
      }
    },
    close: () => file.close(),
  };
}
