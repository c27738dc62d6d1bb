import { createApiKey, registerUser, sendWith } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { PREFIXES, readChecksums } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { hold, recordUses } from '../../helpers/usage.js';
import { ownRoutes } from '../../helpers/users.js';

const server = await openTestServer(t);
const { database } = server;

/** Creates a person whose rows, in every table that has some, hold a word of their own. */
async function createPerson(word: string) {
  const user = await registerUser(server, { email: `${word}@example.com`, name: word });
  await user.as('PUT', '/api/users/me', { picture: `https://example.com/${word}.png` });
  const key = await createApiKey(user, word);
  const device = { device_name: word, hardware_fingerprint: word };
  const registered = (await user.as('POST', '/api/devices/register', device)).json<{
    device_id: string;
    device_token: string;
  }>();
  const { device_id: id, device_token: token } = registered;
  await server.as({ id, token }, 'POST', '/api/usage/log', { model_type: `model-of-${word}` });
  const uses = { subject: user.id, user: user.id, model: `model-of-${word}`, url: `https://example.com/${word}` };
  await recordUses(database, { ...uses, count: 2, cost: 1, source: 'chat' });
  await hold(database, user.id, 5);
  return { ...user, key, device: { id, token }, marks: [word, user.id, id] };
}

const ada = await createPerson('ada-lovelace');
const bob = await createPerson('bob-the-other');

t.test('on every route that reads, everybody gets what is theirs and nothing foreign', async (t) => {
  for (const [me, other] of [
    [ada, bob],
    [bob, ada],
  ] as const) {
    for (const token of [me.token, me.key]) {
      for (const prefix of PREFIXES) {
        for (const { method, url } of ownRoutes(me.device.id, prefix).filter(({ method }) => method === 'GET')) {
          const { statusCode, payload } = await sendWith(server, token, method, url);
          t.equal(statusCode, 200, url);
          if (!url.endsWith('/balance'))
            t.ok(
              me.marks.some((mark) => payload.includes(mark)),
              `${url} has something own`,
            );
          t.notOk(
            other.marks.some((mark) => payload.includes(mark)),
            `${url} has nothing foreign`,
          );
        }
      }
    }
  }
  await server.verifyLedger(t);
});

t.test(
  'without a token, with a garbled one and with those of others nothing is read and nothing changes',
  async (t) => {
    const admin = await logInAsAdmin(server);
    const sign = (claims: object) => server.app.jwt.sign(claims, { expiresIn: 60 });
    const [row] = await database.sql<{ sid: string }>('select id as sid from private.sessions where user_id = $1', [
      ada.id,
    ]);
    const sid = row?.sid;
    const tokens: Record<string, string> = {
      'a garbled token': 'a.b.c',
      'a cut token': ada.token.slice(0, -2),
      'a cut key': ada.key.slice(0, -2),
      'a device token': ada.device.token,
      'an admin token': admin.token,
      'a refresh token': ada.refreshToken,
      'a tracker token': sign({ aud: 'tracker', sub: ada.id, sid }),
      'an admin token about a user': sign({ aud: 'admin', sub: ada.id, ver: 1, sid }),
      "another's session": sign({ aud: 'user', sub: bob.id, sid }),
      'no session': sign({ aud: 'user', sub: ada.id }),
    };
    t.equal((await sendWith(server, sign({ aud: 'user', sub: ada.id, sid }), 'GET', '/api/users/me')).statusCode, 200);
    const before = await readChecksums(database);
    for (const prefix of PREFIXES) {
      for (const { method, url, payload } of ownRoutes(ada.device.id, prefix)) {
        const missing = await sendWith(server, undefined, method, url, payload);
        t.match(missing, { statusCode: 401, headers: { 'www-authenticate': 'Bearer' } }, `${method} ${url}`);
        t.match(missing.json(), { code: 'MISSING_TOKEN' });
        for (const [name, token] of Object.entries(tokens)) {
          const response = await sendWith(server, token, method, url, payload);
          t.equal(response.statusCode, 401, `${method} ${url} with ${name}`);
          t.match(response.json(), { code: 'INVALID_TOKEN' });
        }
      }
    }
    t.strictSame(await readChecksums(database), before);
  },
);

t.test('the same routes work with a token and with a key, under both prefixes', async (t) => {
  for (const prefix of PREFIXES) {
    for (const kind of ['token', 'key'] as const) {
      const word = `someone-with-a-${kind}-${prefix.length}`;
      const person = await createPerson(word);
      for (const { method, url, payload } of ownRoutes(person.device.id, prefix)) {
        const response = await sendWith(server, person[kind], method, url, payload);
        // A key proves no person, which a deletion asks for.
        const status = kind === 'key' && method === 'DELETE' && url.endsWith('/users/me') ? 403 : 200;
        t.equal(response.statusCode, status, `${method} ${url} with a ${kind}`);
      }
    }
  }
  await server.verifyLedger(t);
});

t.end();
