import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { hashNewPassword, PasswordSchema } from '../../src/auth/passwords.js';
import { loadEnvironmentFile } from '../../src/config/environment-file.js';
import { StartupError } from '../../src/config/startup-error.js';
import { openClientForCommand } from '../../src/platform/database/command.js';
import { parseCommandLine, runCommandLine, UsageError } from '../command-line.js';
import { readPassword } from './read-password.js';

const USAGE = 'Usage: npm run admin -- list | create <name> | passwd <name> | remove <name>';
const NAME_LENGTH = 100;
const OutcomeSchema = Type.Object({
  changed: Type.Boolean(),
  admins: Type.Array(Type.Object({ username: Type.String(), created_at: Type.String() })),
});
const REFUSALS: Readonly<Record<string, string>> = {
  create: 'There is an admin of this name already',
  passwd: 'There is no admin of this name',
  remove: 'There is no admin of this name, or it is the last one',
};

function parseAction(args: readonly string[]): { action: string; username: string } {
  const { positionals } = parseCommandLine(args, {}, 2);
  const [action = '', username = ''] = positionals;
  if (action === '') throw new UsageError('Say what to do');
  if (action === 'list') {
    if (username !== '') throw new UsageError(`Unexpected argument '${username}'`);
  } else {
    if (!Object.hasOwn(REFUSALS, action)) throw new UsageError(`Unknown action '${action}'`);
    if (username === '') throw new UsageError('The name of the admin is missing');
    if (username.length > NAME_LENGTH) throw new UsageError(`A name has ${NAME_LENGTH} characters at most`);
  }
  return { action, username };
}

async function hashPasswordFromInput(): Promise<string> {
  const password = await readPassword('New password: ');
  if (!Value.Check(PasswordSchema, password)) throw new StartupError('A password has 8 to 256 characters');
  return hashNewPassword(password);
}

// npm run admin: looks after the people who may use the admin API, beside a running server or without one.
await runCommandLine(USAGE, async (args) => {
  const { action, username } = parseAction(args);
  loadEnvironmentFile();
  const hash = action === 'create' || action === 'passwd' ? await hashPasswordFromInput() : undefined;

  const { database, close } = await openClientForCommand();
  try {
    const request = { p_command: action, p_username: username, ...(hash !== undefined && { p_password_hash: hash }) };
    const { changed, admins } = await database.call('manage_admin', request, OutcomeSchema);
    const refusal = REFUSALS[action];
    if (refusal !== undefined && !changed) throw new StartupError(refusal);
    for (const admin of admins) process.stdout.write(`${admin.username}\t${admin.created_at}\n`);
  } finally {
    await close();
  }
});
