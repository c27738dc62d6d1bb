import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { hashPassword } from '../../src/auth/passwords.js';
import { parsePasswordConfig } from '../../src/config/config.js';
import { loadEnvironmentFile } from '../../src/config/environment-file.js';
import { StartupError } from '../../src/config/startup-error.js';
import { openForCommand } from '../../src/platform/database/command.js';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { parseCommandLine, runCommandLine } from '../command-line.js';

const USAGE =
  'Usage: npm run seed [-- --anyway] (adds demo people, devices and a month of their usage, and says how to sign in; --anyway beside real ones)';
/** What the file raises where it must not run. */
const REFUSED = 'PT409';

const PERSON = 'amina.demo@example.com';
const ADMIN = 'demo';

/** Makes a password up, and its hash as the server's own are. */
async function createPassword(): Promise<{ readonly password: string; readonly hash: string }> {
  const password = randomBytes(12).toString('base64url');
  return { password, hash: await hashPassword(password, parsePasswordConfig(process.env).peppers[0]) };
}

/**
 * Lets somebody sign in to look around: as one of the people, and as an admin, where neither can by now.
 * @param isAlone whether nobody real is there: then the admin may do everything, otherwise only look
 */
async function openDoors(client: pg.Client, isAlone: boolean): Promise<void> {
  const [person, admin] = [await createPassword(), await createPassword()];
  // As in every function: what follows is not a change by hand.
  await client.query("set search_path = ''");
  const opened = await client.query(
    `insert into private.user_credentials (user_id, password_hash)
     select u.id, $2 from public.users u where u.email = $1 on conflict (user_id) do nothing`,
    [PERSON, person.hash],
  );
  const role = isAlone ? 'owner' : 'viewer';
  const { rows } = await client.query<{ changed: boolean }>(
    `select (public.manage_admin('create', $1, $2, $3) ->> 'changed')::boolean as changed`,
    [ADMIN, admin.hash, role],
  );
  const lines = [
    ...(opened.rowCount === 1 ? [`Sign in at /dashboard with ${PERSON} and ${person.password}`] : []),
    ...(rows[0]?.changed === true ? [`Sign in at /admin with ${ADMIN} and ${admin.password}`] : []),
  ];
  if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`);
}

// npm run seed: fills the database of DATABASE_URL, or the embedded one, with demo data.
await runCommandLine(USAGE, async (args) => {
  const { values } = parseCommandLine(args, { anyway: { type: 'boolean', default: false } });
  loadEnvironmentFile();
  const seed = await readFile(join(PROJECT_ROOT, 'supabase/seed.sql'), 'utf8');
  const database = await openForCommand();
  const client = new pg.Client({ connectionString: database.adminUrl });
  // What is asked then fails, and says why.
  client.on('error', () => {});
  try {
    await client.connect();
    // The file reports by itself, whoever runs it.
    client.on('notice', ({ message }) => process.stdout.write(`${message}\n`));
    if (values.anyway) await client.query(`set tokenledger.seed_anyway = 'on'`);
    await client.query(seed).catch((error: unknown) => {
      if (!(error instanceof pg.DatabaseError) || error.code !== REFUSED) throw error;
      throw new StartupError(`${error.message}; ${error.hint}`, { cause: error });
    });
    await openDoors(client, !values.anyway);
  } finally {
    await client.end();
    await database.close();
  }
});
