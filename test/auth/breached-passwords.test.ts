import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openBreachedPasswords } from '../../src/auth/breached-passwords.js';
import { createPasswords } from '../../src/auth/passwords.js';
import { registerUser } from '../helpers/accounts.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';

const sha1 = (text: string) => createHash('sha1').update(text).digest('hex').toUpperCase();
const directory = t.testdir({});

async function writeList(name: string, passwords: readonly string[], end = '\r\n', hasLastEnd = true): Promise<string> {
  const lines = passwords.map((password, n) => `${sha1(password)}:${10 ** (n % 8)}`).sort();
  const path = join(directory, name);
  await writeFile(path, lines.join(end) + (hasLastEnd ? end : ''));
  return path;
}

t.test('every password on the list is found, wherever its line is, and no other is', async (t) => {
  const known = Array.from({ length: 1_000 }, (_, n) => `leaked ${n}`);
  for (const [name, size, end, hasLastEnd] of [
    ['published.txt', 1_000, '\r\n', true],
    ['unix.txt', 1_000, '\n', false],
    ['two.txt', 2, '\n', true],
    ['one.txt', 1, '\n', false],
  ] as const) {
    const listed = known.slice(0, size);
    const list = await openBreachedPasswords(await writeList(name, listed, end, hasLastEnd));
    for (const password of listed) if (!(await list.has(password))) t.fail(`${name}: ${password} is not found`);
    for (let n = 0; n < 200; n += 1) {
      const other = randomBytes(9).toString('base64url');
      if (await list.has(other)) t.fail(`${name}: ${other} is found`);
    }
    await list.close();
    t.pass(name);
  }
});

t.test('digests without counts, as some publish them, will do', async (t) => {
  const path = join(directory, 'bare.txt');
  await writeFile(path, [sha1('alpha'), sha1('beta'), sha1('gamma')].sort().join('\n'));
  const list = await openBreachedPasswords(path);
  t.strictSame(await Promise.all(['alpha', 'beta', 'gamma', 'delta'].map(list.has)), [true, true, true, false]);
  await list.close();
});

t.test('what is no list is refused at the start, by the variable that names it', async (t) => {
  await t.rejects(createPasswords({ peppers: [], breachedFile: join(directory, 'missing.txt') }), {
    message: /^BREACHED_PASSWORDS_FILE cannot be read/,
  });
  const path = join(directory, 'words.txt');
  await writeFile(path, 'password\nqwerty\n');
  await t.rejects(openBreachedPasswords(path), { message: /^BREACHED_PASSWORDS_FILE is not a sorted list/ });
});

t.test('a server refuses leaked passwords and its own names for people, everywhere a new one is set', async (t) => {
  const leaked = 'a password that was leaked';
  const environment = {
    BREACHED_PASSWORDS_FILE: await writeList('server.txt', [leaked, 'x', 'y']),
    PASSWORD_PEPPER: `${randomBytes(32).toString('base64url')}, ${randomBytes(32).toString('base64url')}`,
  };
  const server = await openTestServer(t, { environment });
  const register = (password: string) =>
    server.app.inject({
      method: 'POST',
      url: '/api/auth/register',
      payload: { email: 'ada.king@example.com', password },
    });
  t.match((await register(leaked)).json(), { code: 'PASSWORD_BREACHED' });
  t.match((await register('ada.king2026')).json(), { code: 'PASSWORD_PERSONAL' });

  const user = await registerUser(server, { email: 'grace.hopper@example.com' });
  const change = (new_password: string) =>
    user.as('POST', '/api/users/me/password', { current_password: user.password, new_password });
  t.match((await change(leaked)).json(), { code: 'PASSWORD_BREACHED' });
  t.match((await change('Grace.Hopper1906')).json(), { code: 'PASSWORD_PERSONAL' });
});

t.test('a log-in brings a hash up to date with the pepper, and the one before is needed no more', async (t) => {
  const [first, second] = [randomBytes(32).toString('base64url'), randomBytes(32).toString('base64url')];
  const plain = await openTestServer(t);
  const { database } = plain;
  const user = await registerUser(plain);
  const logIn = async (pepper: string) => {
    const server = await openTestServer(t, { database, environment: { PASSWORD_PEPPER: pepper } });
    const payload = { email: user.email, password: user.password };
    return (await server.app.inject({ method: 'POST', url: '/api/auth/login', payload })).statusCode;
  };
  const readHash = async () =>
    (await database.sql<{ hash: string }>('select password_hash as hash from private.user_credentials'))[0]?.hash;
  t.notMatch(await readHash(), 'keyid');
  t.equal(await logIn(first), 200);
  const peppered = await readHash();
  t.match(peppered, /,keyid=/);
  t.equal(await logIn(`${second},${first}`), 200);
  t.not(await readHash(), peppered);
  const third = randomBytes(32).toString('base64url');
  const atOnce = await Promise.all([
    logIn(`${third},${second}`),
    logIn(`${third},${second}`),
    logIn(`${third},${second}`),
  ]);
  t.strictSame(atOnce, [200, 200, 200], 'also where several bring it up to date at once');
  t.equal(await logIn(`${second},${third}`), 200);
  t.equal(await logIn(second), 200);
  t.equal(await logIn(first), 401);
});

t.end();
