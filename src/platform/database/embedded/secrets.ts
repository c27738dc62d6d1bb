import { randomBytes, randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { isSecretList } from '../../../config/secret-list.js';
import { StartupError, toSystemCode } from '../../../config/startup-error.js';

const SecretsSchema = Type.Object({
  jwt_secret: Type.String({ minLength: 32 }),
  postgres_password: Type.String({ minLength: 32 }),
  authenticator_password: Type.String({ minLength: 32 }),
});
/** Secrets the embedded set-up generates for itself, once. */
export type EmbeddedSecrets = Static<typeof SecretsSchema>;

function generate(): EmbeddedSecrets {
  const secret = () => randomBytes(32).toString('base64url');
  return { jwt_secret: secret(), postgres_password: secret(), authenticator_password: secret() };
}

function parseSecrets(text: string, file: string): EmbeddedSecrets {
  try {
    const secrets: unknown = JSON.parse(text);
    if (Value.Check(SecretsSchema, secrets) && isSecretList(secrets.jwt_secret)) return secrets;
  } catch {}
  throw new StartupError(`${file} is damaged; restore it from a backup`);
}

async function readSecrets(file: string): Promise<EmbeddedSecrets | undefined> {
  try {
    return parseSecrets(await readFile(file, 'utf8'), file);
  } catch (error) {
    if (toSystemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Rejects a directory whose database was made with secrets that are gone: new ones would only hide that. */
async function rejectLostSecrets(dataDir: string, file: string): Promise<void> {
  const isMade = await stat(join(dataDir, 'postgres/PG_VERSION')).then(
    () => true,
    () => false,
  );
  // Another first start may have made both meanwhile.
  if (!isMade || (await readSecrets(file)) !== undefined) return;
  throw new StartupError(
    `${file} is missing, and the database beside it cannot be opened without; restore it from a backup, or set DATA_DIR to a new folder to begin anew`,
  );
}

/** Writes new secrets. A link never replaces a file, so one of two first starts wins and both read the same. */
async function createSecrets(file: string): Promise<void> {
  const draft = `${file}.${randomUUID()}`;
  try {
    await writeFile(draft, JSON.stringify(generate()), { mode: 0o600, flush: true });
    await link(draft, file);
  } catch (error) {
    if (toSystemCode(error) !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Makes a directory and those above it. Node's own way tries for ever where a file system takes none, as below /proc. */
async function makeDirectory(directory: string): Promise<void> {
  const isThere = await stat(directory).then(
    () => true,
    () => false,
  );
  if (isThere) return;
  await makeDirectory(dirname(directory));
  await mkdir(directory).catch((error: unknown) => {
    if (toSystemCode(error) !== 'EEXIST') throw error;
  });
}

/**
 * Reads `secrets.json` of the data directory; creates it on the first start, readable by its owner only.
 * @throws {StartupError} when the directory cannot be used or the file is damaged
 */
export async function loadSecrets(dataDir: string): Promise<EmbeddedSecrets> {
  const file = join(dataDir, 'secrets.json');
  try {
    await makeDirectory(resolve(dataDir));
    const existing = await readSecrets(file);
    if (existing !== undefined) return existing;
    await rejectLostSecrets(dataDir, file);
    await createSecrets(file);
    return parseSecrets(await readFile(file, 'utf8'), file);
  } catch (error) {
    const code = toSystemCode(error);
    if (code === undefined) throw error;
    throw new StartupError(`DATA_DIR ${dataDir} cannot be read and written (${code})`, { cause: error });
  }
}

/** Gives a data directory another secret that tokens are signed with, such as that of a restored backup. */
export async function replaceJwtSecret(dataDir: string, secret: string): Promise<void> {
  const file = join(dataDir, 'secrets.json');
  const draft = `${file}.${randomUUID()}`;
  const secrets = { ...(await loadSecrets(dataDir)), jwt_secret: secret };
  try {
    await writeFile(draft, JSON.stringify(secrets), { mode: 0o600, flush: true });
    await rename(draft, file);
  } finally {
    await rm(draft, { force: true });
  }
}
