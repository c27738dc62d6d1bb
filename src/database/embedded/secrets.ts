import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { StartupError, systemCodeOf } from '../../startup-error.js';

const SecretsSchema = Type.Object({
  jwt_secret: Type.String({ minLength: 32 }),
  postgres_password: Type.String({ minLength: 32 }),
  authenticator_password: Type.String({ minLength: 32 }),
});
/** What the embedded set-up generates for itself, once. */
export type EmbeddedSecrets = Static<typeof SecretsSchema>;

function generate(): EmbeddedSecrets {
  const secret = () => randomBytes(32).toString('base64url');
  return { jwt_secret: secret(), postgres_password: secret(), authenticator_password: secret() };
}

async function read(file: string): Promise<EmbeddedSecrets> {
  const secrets: unknown = JSON.parse(await readFile(file, 'utf8'));
  if (!Value.Check(SecretsSchema, secrets)) throw new StartupError(`${file} is damaged; restore it from a backup`);
  return secrets;
}

/**
 * Reads `secrets.json` of the data directory, made on the first start (readable by its owner only).
 * @throws {StartupError} when the directory cannot be written or the file is damaged
 */
export async function embeddedSecrets(dataDir: string): Promise<EmbeddedSecrets> {
  const file = join(dataDir, 'secrets.json');
  const draft = `${file}.${process.pid}`;
  try {
    await mkdir(dataDir, { recursive: true });
    if (await read(file).catch((error: unknown) => missing(error))) return await read(file);
    await writeFile(draft, JSON.stringify(generate()), { mode: 0o600 });
    // A link never replaces: of two first starts one wins and both read the same secrets.
    await link(draft, file).catch((error: unknown) => {
      if (systemCodeOf(error) !== 'EEXIST') throw error;
    });
    await rm(draft, { force: true });
    return await read(file);
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === undefined) throw error;
    throw new StartupError(`DATA_DIR ${dataDir} cannot be written (${code})`, { cause: error });
  }
}

function missing(error: unknown): undefined {
  if (systemCodeOf(error) === 'ENOENT') return undefined;
  throw error;
}
