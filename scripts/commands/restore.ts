import { loadEnvironmentFile } from '../../src/config/environment-file.js';
import { StartupError } from '../../src/config/startup-error.js';
import { openPlain } from '../../src/platform/database/command.js';
import { replaceJwtSecret } from '../../src/platform/database/embedded/secrets.js';
import { loadRows } from '../backup/copy-rows.js';
import { loadDatabase } from '../backup/load.js';
import { ArchiveRows, checkArchive, type SoundArchive } from '../backup/read-archive.js';
import { parseCommandLine, runCommandLine, UsageError } from '../command-line.js';

const USAGE =
  'Usage: npm run restore -- <file> [--sha256 <hex>] [--replace] [--unproved] (fills an empty database from a backup)';

/** Options of a restore. */
interface Choices {
  readonly replace: boolean;
  readonly unproved: boolean;
}

/** Fills a database with what an archive holds, and returns the migrations applied after it. */
async function fillFrom(path: string, { manifest, sha256 }: SoundArchive, url: string, choices: Choices) {
  const rows = new ArchiveRows(path);
  return loadDatabase(url, {
    ...choices,
    contents: manifest,
    load: async (client, table) => {
      const loaded = await loadRows(client, table, rows.read(table));
      if (loaded !== table.rows) throw new StartupError(`${table.name}: ${loaded} rows came of ${table.rows}`);
    },
    inspect: () => rows.finish(sha256),
  });
}

// npm run restore: fills the database of DATABASE_URL, or the embedded one, from a file that npm run backup wrote.
await runCommandLine(USAGE, async (args) => {
  const { values, positionals } = parseCommandLine(
    args,
    {
      sha256: { type: 'string' },
      replace: { type: 'boolean', default: false },
      unproved: { type: 'boolean', default: false },
    },
    1,
  );
  const [path] = positionals;
  if (path === undefined) throw new UsageError('The file is missing');
  loadEnvironmentFile();
  const archive = await checkArchive(path);
  if (values.sha256 !== undefined && values.sha256.toLowerCase() !== archive.sha256) {
    throw new StartupError(`${path} has another SHA-256: ${archive.sha256}`);
  }
  const { manifest, jwtSecret } = archive;
  const database = await openPlain(true);
  try {
    const applied = await fillFrom(path, archive, database.adminUrl, values);
    const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
    process.stdout.write(
      `Restored ${rows} rows of ${manifest.created_at}; the books ${values.unproved ? 'were not asked' : 'add up'}.\n`,
    );
    if (applied.length > 0) process.stdout.write(`Applied ${applied.join(', ')}.\n`);
    if (jwtSecret === undefined) return;
    if (database.embedded !== undefined) await replaceJwtSecret(database.embedded.dataDir, jwtSecret);
    else process.stdout.write('Tokens stay valid with the JWT_SECRET that secrets.json in the backup has.\n');
  } finally {
    await database.close();
  }
});
