import { randomBytes } from 'node:crypto';
import { access, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { chooseRunner } from '../../../src/platform/database/embedded/unprivileged.js';
import { findFreePort } from '../local-program.js';

/** Where Debian and Ubuntu install the oldest Postgres we run on; another folder of programs may be named instead. */
const PROGRAMS = process.env['TEST_POSTGRES_BIN_DIR'] ?? '/usr/lib/postgresql/15/bin';

/** Returns why tests with the other Postgres are left out, or false where it is installed. */
export async function otherPostgresMissing(): Promise<string | false> {
  return access(join(PROGRAMS, 'initdb')).then(
    () => false,
    () => `needs Postgres 15 in ${PROGRAMS}, or its programs in TEST_POSTGRES_BIN_DIR`,
  );
}

/** Starts a Postgres that did not come with the server, and returns its connection string; it ends with the test. */
export async function openOtherPostgres(t: Test): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'tokenledger-test-'));
  const directory = join(parent, 'postgres');
  const passwordFile = join(parent, 'password');
  const password = randomBytes(24).toString('base64url');
  await mkdir(directory, { mode: 0o700 });
  await writeFile(passwordFile, password, { mode: 0o600 });
  const runner = await chooseRunner(directory);
  await Promise.all([parent, directory, passwordFile].map(runner.chown));
  const run = (program: string, ...args: string[]) => runner.run(join(PROGRAMS, program), ['-D', directory, ...args]);
  await run('initdb', '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8', '--locale=C');
  const port = await findFreePort();
  const settings = `-c port=${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c timezone=UTC -c fsync=off`;
  await run('pg_ctl', 'start', '-w', '-s', '-l', join(directory, 'server.log'), '-o', settings);
  t.after(async () => {
    await run('pg_ctl', 'stop', '-w', '-s', '-m', 'immediate');
    await rm(parent, { recursive: true, force: true });
  });
  return `postgres://postgres:${password}@127.0.0.1:${port}/postgres`;
}
