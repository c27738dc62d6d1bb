import { logInAsAdmin } from '../helpers/admin.js';
import { runScript } from '../helpers/http/run-script.js';
import { openTestServer, testEnvironment } from '../helpers/http/test-server.js';
import t, { type Test } from '../helpers/run/tap.js';
import { enrolAdmin } from '../helpers/totp.js';

const server = await openTestServer(t);
const environment = { ...testEnvironment(server.database), DATABASE_URL: server.database.adminUrl };
const admin = (t: Test, ...args: string[]) => runScript(t, 'admin', args, environment);

t.test('the command lists admins with role and second factor, and takes a lost one away', async (t) => {
  await logInAsAdmin(server, 'root');
  const enrolled = await enrolAdmin(server, 'ada');
  t.match((await admin(t, 'list')).stdout, /^ada\towner\tsecond factor\t.+\nroot\towner\t-\t/);
  t.match((await admin(t, 'reset-2fa', 'ada')).stdout, /^ada\towner\t-\t/);
  t.equal((await enrolled.as('GET', '/api/admin/budget')).statusCode, 401, 'and ends the sessions');
});

t.test('it sets roles, but the last owner stays one', async (t) => {
  t.match((await admin(t, 'role', 'ada', 'viewer')).stdout, /^ada\tviewer\t/);
  for (const args of [
    ['role', 'root', 'viewer'],
    ['remove', 'root'],
  ]) {
    const { code, stderr } = await admin(t, ...args);
    t.match(stderr, 'The last owner cannot be removed');
    t.not(code, 0);
  }
  t.match(await admin(t, 'role', 'nobody', 'viewer'), { stderr: /There is no admin of this name/ });
  t.match(await admin(t, 'role', 'ada', 'king'), { stderr: /A role is one of viewer, operator, owner/ });
  t.match(await admin(t, 'passwd', 'ada', 'owner'), { stderr: /Unexpected argument 'owner'/ });
  const [line] = await server.database.sql(`select actor, after from audit_log where action = 'role_admin'`);
  t.match(line, { actor: 'system:command', after: { role: 'viewer' } });
});

t.end();
