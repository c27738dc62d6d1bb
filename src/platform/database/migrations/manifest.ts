import { parseRecord, sha256Hex } from './checksum.js';

/** One line of `supabase/migrations.sha256`. */
export interface ManifestEntry {
  readonly sha256: string;
  /** Name of the file in `supabase/migrations`. */
  readonly file: string;
}

const LINE = /^([0-9a-f]{64}) {2}migrations\/(\S+)$/;
const FILE_NAME = /^\d{14}_[a-z][a-z_]*\.sql$/;
const REMEDY = 'migrations are append-only, so put it back as it was and write a new one with "npm run migration"';

/** Reads the manifest, which has the format of `sha256sum`; a line of another form is kept as a file of that name. */
export function parseManifest(text: string): ManifestEntry[] {
  const lines = text.split(/\r?\n/).filter((line) => line !== '');
  return lines.map((line) => {
    const [, sha256 = '', file = line] = LINE.exec(line) ?? [];
    return { sha256, file };
  });
}

/** Writes the manifest; `sha256sum -c migrations.sha256` in the folder `supabase` checks it, too. */
export function formatManifest(files: ReadonlyMap<string, string>): string {
  return [...files].map(([file, text]) => `${sha256Hex(text)}  migrations/${file}\n`).join('');
}

function findFileProblem(file: string, text: string, expected: string | undefined): string | undefined {
  if (!FILE_NAME.test(file)) return `${file} is no migration: its name must be <UTC time>_<name>.sql`;
  if (expected === undefined) {
    return `${file} is not in migrations.sha256: finish it with "npm run migration -- --seal"`;
  }
  if (sha256Hex(text) !== expected) return `${file} was edited since it was written: ${REMEDY}`;
  const record = parseRecord(text);
  const isSealed = record !== undefined && file.startsWith(record.version) && sha256Hex(record.body) === record.sha256;
  return isSealed ? undefined : `${file} does not end with the SHA-256 of its own text: ${REMEDY}`;
}

/**
 * Compares the migrations with their manifest.
 *
 * @param files texts by file name
 * @returns a sentence for each file that was edited, renamed, removed, added or put in another order
 */
export function findManifestProblems(manifest: readonly ManifestEntry[], files: ReadonlyMap<string, string>): string[] {
  const expected = new Map(manifest.map(({ file, sha256 }) => [file, sha256]));
  const edited = [...files].map(([file, text]) => findFileProblem(file, text, expected.get(file)));
  const missing = [...expected.keys()].filter((file) => !files.has(file));
  const misplaced = manifest.filter(({ file }, position) => {
    const before = manifest[position - 1];
    return before !== undefined && before.file.slice(0, 14) >= file.slice(0, 14);
  });
  return [
    ...missing.map((file) => `${file} is missing: ${REMEDY}`),
    ...edited.filter((problem) => problem !== undefined),
    ...misplaced.map(({ file }) => `${file} is out of order in migrations.sha256: ${REMEDY}`),
  ].map((problem) => `supabase/migrations/${problem}`);
}
