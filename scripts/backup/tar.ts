import { StartupError } from '../../src/config/startup-error.js';

// Only what an archive of ours needs: plain files with short names in the ustar format, which any tar reads.

const BLOCK = 512;
/** Largest file we read, in bytes; what we write is far smaller, apart from the manifest of very many tables. */
const MOST_BYTES = 64 * 1024 * 1024;
const DAMAGED = 'This file is no whole backup: it is damaged or was cut short';

/** A file of an archive. */
export interface ArchiveFile {
  readonly name: string;
  readonly body: Buffer;
}

function sumBytes(header: Buffer): number {
  // The field of the checksum itself counts as spaces.
  return header.reduce((sum, byte, place) => sum + (place >= 148 && place < 156 ? 0x20 : byte), 0);
}

function toOctal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}

/** Writes a file's header, content and padding, readable by its owner only. */
export function packFile({ name, body }: ArchiveFile, time: Date): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0, 100);
  header.write(`${toOctal(0o600, 7)}\0${toOctal(0, 7)}\0${toOctal(0, 7)}\0`, 100);
  header.write(`${toOctal(body.length, 11)}\0${toOctal(Math.floor(time.getTime() / 1000), 11)}\0`, 124);
  header.write('0', 156);
  header.write('ustar\x0000', 257, 'latin1');
  header.write(`${toOctal(sumBytes(header), 6)}\0 `, 148);
  return Buffer.concat([header, body, Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK)]);
}

/** What ends an archive. */
export const ARCHIVE_END = Buffer.alloc(2 * BLOCK);

/** Hands out a stream's bytes in the portions asked for. */
class Portions {
  readonly #source: AsyncIterator<Buffer>;
  #held: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Returns so many bytes. @throws {StartupError} where the stream ends before */
  async take(length: number): Promise<Buffer> {
    const parts = [this.#held];
    let size = this.#held.length;
    while (size < length) {
      const { value, done } = await this.#source.next();
      if (done === true) throw new StartupError(DAMAGED);
      parts.push(value);
      size += value.length;
    }
    const all = parts.length === 1 ? this.#held : Buffer.concat(parts, size);
    this.#held = all.subarray(length);
    return all.subarray(0, length);
  }

  /** Says whether nothing comes any more. */
  async isAtEnd(): Promise<boolean> {
    return this.#held.length === 0 && (await this.#source.next()).done === true;
  }
}

/**
 * Reads the files of an archive in order, up to its end mark.
 * @throws {StartupError} where it is damaged or incomplete
 */
export async function* unpackFiles(source: AsyncIterable<Buffer>): AsyncGenerator<ArchiveFile> {
  const portions = new Portions(source);
  for (;;) {
    const header = await portions.take(BLOCK);
    if (header.every((byte) => byte === 0)) {
      const isWhole = (await portions.take(BLOCK)).every((byte) => byte === 0) && (await portions.isAtEnd());
      if (isWhole) return;
      throw new StartupError(DAMAGED);
    }
    const size = Number.parseInt(header.toString('latin1', 124, 135), 8);
    const isSound = Number.parseInt(header.toString('latin1', 148, 154), 8) === sumBytes(header);
    if (!isSound || !(size >= 0 && size <= MOST_BYTES)) throw new StartupError(DAMAGED);
    const name = header.toString('utf8', 0, 100).replace(/\0.*$/s, '');
    const body = await portions.take(size);
    await portions.take((BLOCK - (size % BLOCK)) % BLOCK);
    yield { name, body };
  }
}
