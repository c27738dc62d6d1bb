import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseConfig } from '../../../src/config/config.js';
import { loadSecrets } from '../../../src/platform/database/embedded/secrets.js';
import { registerUser, sendWith } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openTestDatabase } from '../../helpers/db/test-database.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { makeDirectory } from '../../helpers/local-program.js';
import t from '../../helpers/run/tap.js';
import { signUp } from '../../helpers/tracker.js';

const database = await openTestDatabase(t);
const createSecret = () => randomBytes(32).toString('base64url');
const [OLD, NEW, OTHER] = [createSecret(), createSecret(), createSecret()];
const open = (JWT_SECRET: string) => openTestServer(t, { database, environment: { JWT_SECRET } });

t.test(
  'tokens of an earlier secret are good as long as it is listed; new ones are signed with the first',
  async (t) => {
    const before = await open(OLD);
    const [user, device, admin] = [
      await registerUser(before),
      await before.registerDevice(),
      await logInAsAdmin(before),
    ];
    const tracker = await signUp(before, user.email);
    const during = await open(`${NEW}, ${OLD}`);
    const after = await open(NEW);

    const statuses = async (server: typeof before) => {
      const answers = [
        await sendWith(server, user.token, 'GET', '/api/users/me'),
        await sendWith(server, device.token, 'GET', `/api/devices/${device.id}/tokens`),
        await sendWith(server, admin.token, 'GET', '/api/admin/budget'),
        await sendWith(server, tracker, 'POST', '/api/trackUsage', { usage: 1, tokenCount: 1 }),
      ];
      return answers.map(({ statusCode }) => statusCode);
    };
    t.strictSame(await statuses(during), [200, 200, 200, 200]);
    t.strictSame(await statuses(after), [401, 401, 401, 403], 'without it they end');

    const login = { email: user.email, password: user.password };
    const { token } = (await during.app.inject({ method: 'POST', url: '/auth/login', payload: login })).json<{
      token: string;
    }>();
    const readProfile = async (server: typeof before) => (await sendWith(server, token, 'GET', '/users/me')).statusCode;
    t.strictSame([await readProfile(before), await readProfile(during), await readProfile(after)], [401, 200, 200]);
    const forged = (await open(OTHER)).app.jwt.sign({ aud: 'user', sub: user.id, sid: user.id }, { expiresIn: 60 });
    t.equal((await sendWith(during, forged, 'GET', '/users/me')).statusCode, 401, 'any other secret stays refused');
    await during.verifyLedger(t);
  },
);

t.test('a refresh whose answer was lost goes on after the new secret was put in front', async (t) => {
  const [before, during] = [await open(OLD), await open(`${NEW} ${OLD}`)];
  const user = await registerUser(before);
  const payload = { refresh_token: user.refreshToken };
  const first = await before.app.inject({ method: 'POST', url: '/auth/refresh', payload });
  const again = await during.app.inject({ method: 'POST', url: '/auth/refresh', payload });
  t.equal(again.statusCode, 200);
  t.equal(again.json<{ refresh_token: string }>().refresh_token, first.json<{ refresh_token: string }>().refresh_token);
});

t.test('each secret of the list has 32 characters at least', async (t) => {
  const parse = (JWT_SECRET: string) => () => parseConfig({ JWT_SECRET });
  t.doesNotThrow(parse(`${NEW}\n${OLD},${OTHER}`));
  t.doesNotThrow(parse('a sentence of short words, as some people choose, is one secret'));
  for (const bad of [`${NEW},short`, `short ${NEW}`, ', '.repeat(20)]) {
    t.throws(parse(bad), { message: /^Bad configuration: JWT_SECRET is not valid/ }, bad.slice(0, 3));
  }
});

t.test("the embedded database's own file may list several too", async (t) => {
  const dataDir = await makeDirectory(t);
  const { jwt_secret, ...others } = await loadSecrets(dataDir);
  const write = (secret: string) =>
    writeFile(join(dataDir, 'secrets.json'), JSON.stringify({ jwt_secret: secret, ...others }));
  await mkdir(dataDir, { recursive: true });
  await write(`${NEW},${jwt_secret}`);
  t.match(await loadSecrets(dataDir), { jwt_secret: `${NEW},${jwt_secret}` });
  await write(`${NEW},short`);
  await t.rejects(loadSecrets(dataDir), { message: /secrets\.json is damaged/ });
});

t.end();
