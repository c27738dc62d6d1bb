import { createHash, type Hash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type pg from 'pg';
import { copyRows } from './copy-rows.js';
import { MANIFEST_FILE, type Manifest, type ManifestTable, partName, SECRETS_FILE } from './manifest.js';
import type { Contents, TableColumns } from './tables.js';
import { ARCHIVE_END, packFile } from './tar.js';

/** Bytes of rows in one part: what is held in memory at once. */
const PART_BYTES = 4 * 1024 * 1024;

function sha256Of(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Gathers a stream's chunks into parts. */
async function* toParts(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    held.push(chunk);
    size += chunk.length;
    if (size < PART_BYTES) continue;
    yield Buffer.concat(held, size);
    held = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(held, size);
}

/** Writes a table's rows, and returns what the manifest says of them. */
async function* packTable(client: pg.Client, table: TableColumns, time: Date): AsyncGenerator<Buffer, ManifestTable> {
  const copied = copyRows(client, table);
  const hash = createHash('sha256');
  let parts = 0;
  for await (const body of toParts(copied.chunks)) {
    hash.update(body);
    yield packFile({ name: partName(table.name, parts), body }, time);
    parts += 1;
  }
  const { name, columns } = table;
  return { name, columns: [...columns], rows: copied.countRows(), parts, sha256: hash.digest('hex') };
}

/** Writes everything a snapshot sees. */
async function* packAll(
  client: pg.Client,
  contents: Contents,
  jwtSecret: string | undefined,
  done: (manifest: Manifest) => void,
): AsyncGenerator<Buffer> {
  const time = new Date();
  const secrets = jwtSecret === undefined ? undefined : Buffer.from(`${JSON.stringify({ jwt_secret: jwtSecret })}\n`);
  if (secrets !== undefined) yield packFile({ name: SECRETS_FILE, body: secrets }, time);
  const tables: ManifestTable[] = [];
  for (const table of contents.tables) tables.push(yield* packTable(client, table, time));
  const manifest: Manifest = {
    format: 'tokenledger backup 1',
    created_at: time.toISOString(),
    postgres: contents.postgres,
    migrations: contents.migrations.map(({ version, sha256 }) => ({ version, sha256 })),
    tables,
    sequences: [...contents.sequences],
    months: [...contents.months],
    ...(secrets !== undefined && { secrets_sha256: sha256Of(secrets) }),
  };
  yield packFile({ name: MANIFEST_FILE, body: Buffer.from(`${JSON.stringify(manifest, null, 1)}\n`) }, time);
  yield ARCHIVE_END;
  done(manifest);
}

async function* hashChunks(chunks: AsyncIterable<Buffer>, hash: Hash): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
}

/** An archive that was written. */
export interface WrittenArchive {
  readonly rows: number;
  /** SHA-256 of the file, in hex. */
  readonly sha256: string;
}

/**
 * Writes what a snapshot sees to a new file, which only its owner can read, and waits until the disk has it.
 * @param client in the transaction that `beginSnapshot` began
 * @param jwtSecret the secret that device tokens are signed with, where it belongs to the database
 */
export async function writeArchive(
  client: pg.Client,
  contents: Contents,
  path: string,
  jwtSecret: string | undefined,
): Promise<WrittenArchive> {
  const hash = createHash('sha256');
  let rows = 0;
  const count = (manifest: Manifest) => {
    rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
  };
  await pipeline(
    packAll(client, contents, jwtSecret, count),
    createGzip(),
    (chunks: AsyncIterable<Buffer>) => hashChunks(chunks, hash),
    createWriteStream(path, { flags: 'wx', mode: 0o600, flush: true }),
  );
  return { rows, sha256: hash.digest('hex') };
}
