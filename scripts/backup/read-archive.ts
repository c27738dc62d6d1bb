import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { Value } from '@sinclair/typebox/value';
import { StartupError, toSystemCode } from '../../src/config/startup-error.js';
import {
  MANIFEST_FILE,
  type Manifest,
  ManifestSchema,
  type ManifestTable,
  partName,
  SECRETS_FILE,
  SecretsFileSchema,
} from './manifest.js';
import { type ArchiveFile, unpackFiles } from './tar.js';

/** An archive whose checksums are right. */
export interface SoundArchive {
  readonly manifest: Manifest;
  /** The secret that device tokens are signed with, where the backup has it. */
  readonly jwtSecret: string | undefined;
  /** SHA-256 of the file, in hex. */
  readonly sha256: string;
}

async function* readBytes(path: string, hash: Hash): AsyncGenerator<Buffer> {
  for await (const chunk of createReadStream(path)) {
    hash.update(chunk);
    yield chunk;
  }
}

/** Reads the files of an archive in order. @throws {StartupError} where it cannot be read or is damaged */
async function* readFiles(path: string, hash: Hash): AsyncGenerator<ArchiveFile> {
  const gunzip = createGunzip();
  const piped = pipeline(readBytes(path, hash), gunzip);
  // The reader of `gunzip` gets the error as well.
  piped.catch(() => {});
  try {
    yield* unpackFiles(gunzip);
    await piped;
  } catch (error) {
    const code = toSystemCode(error);
    if (code === undefined) throw error;
    const reason = code.startsWith('Z_') ? 'it is damaged or was cut short' : code;
    throw new StartupError(`${path} cannot be read as a backup: ${reason}`, { cause: error });
  } finally {
    gunzip.destroy();
  }
}

function parseJson(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Hashes the files of an archive, each table's parts together, in the order they come. */
class Checksums {
  readonly #hashes = new Map<string, { hash: Hash; parts: number }>();
  #secrets: Buffer | undefined;

  /** Adds a file. Returns false where it has no place in an archive. */
  add({ name, body }: ArchiveFile): boolean {
    if (name === SECRETS_FILE) {
      this.#secrets = body;
      return true;
    }
    const table = name.split('/')[1] ?? '';
    const known = this.#hashes.get(table) ?? { hash: createHash('sha256'), parts: 0 };
    if (name !== partName(table, known.parts)) return false;
    known.hash.update(body);
    known.parts += 1;
    this.#hashes.set(table, known);
    return true;
  }

  #matchesTable({ name, parts, sha256 }: ManifestTable): boolean {
    const found = this.#hashes.get(name) ?? { hash: createHash('sha256'), parts: 0 };
    this.#hashes.delete(name);
    return found.parts === parts && found.hash.digest('hex') === sha256;
  }

  /** Says whether all is as the manifest has it; returns the secrets in `jwtSecret`. */
  compare({ tables, secrets_sha256 }: Manifest): { isSound: boolean; jwtSecret: string | undefined } {
    const tablesMatch = tables.map((table) => this.#matchesTable(table)).every(Boolean) && this.#hashes.size === 0;
    const found = this.#secrets && createHash('sha256').update(this.#secrets).digest('hex');
    const secrets = this.#secrets && parseJson(this.#secrets);
    const secretsMatch = found === secrets_sha256;
    const jwtSecret = Value.Check(SecretsFileSchema, secrets) ? secrets.jwt_secret : undefined;
    return { isSound: tablesMatch && secretsMatch, jwtSecret };
  }
}

/**
 * Reads a whole archive and compares it with its checksums.
 * @throws {StartupError} where it is none, is damaged, was cut short or changed
 */
export async function checkArchive(path: string): Promise<SoundArchive> {
  const hash = createHash('sha256');
  const sums = new Checksums();
  let manifest: Manifest | undefined;
  const changed = new StartupError(`${path} is not what was written: its checksums do not match`);
  for await (const file of readFiles(path, hash)) {
    if (manifest !== undefined) throw changed;
    if (file.name === MANIFEST_FILE) {
      const found = parseJson(file.body);
      if (!Value.Check(ManifestSchema, found))
        throw new StartupError(`${path} has a manifest this program cannot read`);
      manifest = found;
    } else if (!sums.add(file)) throw changed;
  }
  if (manifest === undefined) throw new StartupError(`${path} has no manifest, so it is no whole backup`);
  const { isSound, jwtSecret } = sums.compare(manifest);
  if (!isSound) throw changed;
  return { manifest, jwtSecret, sha256: hash.digest('hex') };
}

/** Reads the rows of an archive's tables, one table after the other, in the manifest's order. */
export class ArchiveRows {
  readonly #files: AsyncGenerator<ArchiveFile>;
  readonly #hash = createHash('sha256');

  constructor(path: string) {
    this.#files = readFiles(path, this.#hash);
  }

  /** Reads a table's rows. @throws {StartupError} where the file is not what `checkArchive` read */
  async *read({ name, parts }: ManifestTable): AsyncGenerator<Buffer> {
    for (let part = 0; part < parts; ) {
      const { value, done } = await this.#files.next();
      if (done === true) throw new StartupError('The backup was changed while it was read');
      if (value.name === SECRETS_FILE) continue;
      if (value.name !== partName(name, part)) throw new StartupError('The backup was changed while it was read');
      yield value.body;
      part += 1;
    }
  }

  /** Reads to the end. @throws {StartupError} where the file as a whole is not what `checkArchive` read */
  async finish(sha256: string): Promise<void> {
    for await (const { name } of this.#files) if (name !== MANIFEST_FILE && name !== SECRETS_FILE) break;
    if (this.#hash.digest('hex') !== sha256) throw new StartupError('The backup was changed while it was read');
  }
}
