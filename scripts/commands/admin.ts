import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { createPasswords, PasswordSchema } from '../../src/auth/passwords.js';
import { ADMIN_ROLES, type AdminRole, AdminRoleSchema } from '../../src/auth/tokens/admin-tokens.js';
import { parsePasswordConfig } from '../../src/config/config.js';
import { loadEnvironmentFile } from '../../src/config/environment-file.js';
import { StartupError } from '../../src/config/startup-error.js';
import { DatabaseError } from '../../src/platform/database/client/database-error.js';
import { openClientForCommand } from '../../src/platform/database/command.js';
import { parseCommandLine, runCommandLine, UsageError } from '../command-line.js';
import { readPassword } from './read-password.js';

const USAGE =
  'Usage: npm run admin -- list | create <name> [role] | passwd <name> | role <name> <role> | reset-2fa <name> | remove <name>';
const NAME_LENGTH = 100;
const LAST_OWNER = 'The last owner cannot be removed or given another role';
const OutcomeSchema = Type.Object({
  changed: Type.Boolean(),
  admins: Type.Array(
    Type.Object({
      username: Type.String(),
      role: AdminRoleSchema,
      second_factor: Type.Boolean(),
      created_at: Type.String(),
    }),
  ),
});
const REFUSALS: Readonly<Record<string, string>> = {
  create: 'There is an admin of this name already',
  passwd: 'There is no admin of this name',
  role: 'There is no admin of this name',
  'reset-2fa': 'There is no admin of this name',
  remove: 'There is no admin of this name',
};

interface Action {
  readonly action: string;
  readonly username: string;
  readonly role: AdminRole | undefined;
}

function parseRole(action: string, text: string | undefined): AdminRole | undefined {
  if (text === undefined && action !== 'role') return undefined;
  if (action !== 'role' && action !== 'create') throw new UsageError(`Unexpected argument '${text}'`);
  if (Value.Check(AdminRoleSchema, text)) return text;
  throw new UsageError(`A role is one of ${ADMIN_ROLES.join(', ')}`);
}

function parseAction(args: readonly string[]): Action {
  const { positionals } = parseCommandLine(args, {}, 3);
  const [action = '', username = '', role] = positionals;
  if (action === '') throw new UsageError('Say what to do');
  if (action === 'list') {
    if (username !== '') throw new UsageError(`Unexpected argument '${username}'`);
  } else {
    if (!Object.hasOwn(REFUSALS, action)) throw new UsageError(`Unknown action '${action}'`);
    if (username === '') throw new UsageError('The name of the admin is missing');
    if (username.length > NAME_LENGTH) throw new UsageError(`A name has ${NAME_LENGTH} characters at most`);
  }
  return { action, username, role: parseRole(action, role) };
}

async function hashPasswordFromInput(username: string): Promise<string> {
  const password = await readPassword('New password: ');
  if (!Value.Check(PasswordSchema, password)) throw new StartupError('A password has 8 to 256 characters');
  const passwords = await createPasswords(parsePasswordConfig(process.env));
  try {
    return await passwords.hashNew(password, [username]);
  } finally {
    await passwords.close();
  }
}

// npm run admin: looks after the people who may use the admin API, beside a running server or without one.
await runCommandLine(USAGE, async (args) => {
  const { action, username, role } = parseAction(args);
  loadEnvironmentFile();
  const hash = action === 'create' || action === 'passwd' ? await hashPasswordFromInput(username) : undefined;

  const { database, close } = await openClientForCommand();
  try {
    const request = {
      p_command: action,
      p_username: username,
      ...(hash !== undefined && { p_password_hash: hash }),
      ...(role !== undefined && { p_role: role }),
    };
    const { changed, admins } = await database.call('manage_admin', request, OutcomeSchema).catch((error: unknown) => {
      throw error instanceof DatabaseError && error.message === 'LAST_OWNER' ? new StartupError(LAST_OWNER) : error;
    });
    const refusal = REFUSALS[action];
    if (refusal !== undefined && !changed) throw new StartupError(refusal);
    for (const { username: name, role, second_factor, created_at } of admins) {
      process.stdout.write(`${name}\t${role}\t${second_factor ? 'second factor' : '-'}\t${created_at}\n`);
    }
  } finally {
    await close();
  }
});
