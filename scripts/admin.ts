import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { hashNewPassword, PasswordSchema } from '../src/auth/passwords.js';
import { openClientForCommand, runCommand } from '../src/platform/database/command.js';
import { StartupError } from '../src/platform/startup-error.js';
import { readPassword } from './read-password.js';

const ManageAdminSchema = Type.Object({
  changed: Type.Boolean(),
  admins: Type.Array(Type.Object({ username: Type.String(), created_at: Type.String() })),
});

const USAGE = 'Usage: npm run admin -- list | create <name> | passwd <name> | remove <name>';
const REFUSALS: Readonly<Record<string, string>> = {
  create: 'There is an admin of this name already',
  passwd: 'There is no admin of this name',
  remove: 'There is no admin of this name, or it is the last one',
};

async function newPasswordHash(): Promise<string> {
  const password = await readPassword('New password: ');
  if (!Value.Check(PasswordSchema, password)) throw new StartupError('A password has 8 to 256 characters');
  return hashNewPassword(password);
}

// npm run admin: looks after the people who may use the admin API, beside a running server or without one.
await runCommand(async () => {
  const [command = '', username = ''] = process.argv.slice(2);
  const known = command === 'list' || (Object.hasOwn(REFUSALS, command) && username !== '' && username.length <= 100);
  if (!known) throw new StartupError(USAGE);
  const hash = command === 'create' || command === 'passwd' ? await newPasswordHash() : undefined;

  const { database, close } = await openClientForCommand();
  try {
    const request = { p_command: command, p_username: username, ...(hash !== undefined && { p_password_hash: hash }) };
    const { changed, admins } = await database.call('manage_admin', request, ManageAdminSchema);
    if (command !== 'list' && !changed) throw new StartupError(REFUSALS[command] ?? USAGE);
    for (const admin of admins) process.stdout.write(`${admin.username}\t${admin.created_at}\n`);
  } finally {
    await close();
  }
});
