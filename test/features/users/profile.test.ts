import { createApiKey, registerUser, sendWith } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { PREFIXES, readChecksums } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);

interface Profile {
  readonly updated_at: string;
  readonly providers: string[];
}

t.test(
  'the profile has the account, its balance and the ways to sign in, by token and by key, under both prefixes',
  async (t) => {
    const ada = await registerUser(server, { name: 'Ada' });
    const key = await createApiKey(ada);
    for (const token of [ada.token, key]) {
      for (const prefix of PREFIXES) {
        const response = await sendWith(server, token, 'GET', `${prefix}/users/me`);
        t.equal(response.statusCode, 200);
        const { created_at, updated_at, ...profile } = response.json<Record<string, unknown>>();
        t.strictSame(profile, {
          id: ada.id,
          email: ada.email,
          name: 'Ada',
          picture: null,
          total_tokens: 1_000_000,
          tokens_used: 0,
          tokens_left: 1_000_000,
          email_verified: false,
          pending_email: null,
          has_password: true,
          second_factor: false,
          providers: [],
        });
        for (const time of [created_at, updated_at]) t.match(time, /^\d{4}-\d\d-\d\dT[\d:.]+\+00:00$/, 'UTC');
      }
    }
  },
);

t.test('an account opened by a provider says so', async (t) => {
  const ada = await registerUser(server);
  await server.database.sql('delete from private.user_credentials where user_id = $1', [ada.id]);
  await server.database.sql('update users set email_verified_at = now() where id = $1', [ada.id]);
  for (const provider of ['google', 'github']) {
    await server.database.sql(
      `insert into private.external_identities (provider, subject, user_id, email) values ($1, 'subject', $2, 'a@example.com')`,
      [provider, ada.id],
    );
  }
  t.match((await ada.as('GET', '/api/users/me')).json(), {
    email_verified: true,
    has_password: false,
    providers: ['github', 'google'],
  });
});

t.test('name and picture change by themselves, stay where absent and go where null', async (t) => {
  const ada = await registerUser(server);
  const put = async (payload: object) => {
    const response = await ada.as('PUT', '/api/users/me', payload);
    t.equal(response.statusCode, 200);
    return response.json<Profile>();
  };
  const picture = 'https://example.com/a%20b.png?size=1#x';
  t.match(await put({ name: '  Ada Lovelace ' }), { name: 'Ada Lovelace', picture: null });
  t.match(await put({ picture }), { name: 'Ada Lovelace', picture });
  const cleared = await put({ name: null });
  t.match(
    cleared,
    { name: ada.email.split('@')[0], picture, email: ada.email },
    'the address names whoever has no name',
  );
  t.match(await put({ name: 'x'.repeat(200), picture: null }), { name: 'x'.repeat(200), picture: null });
  t.match((await ada.as('GET', '/api/users/me')).json(), { name: 'x'.repeat(200), picture: null });
  const again = await put({ name: 'Ada' });
  t.ok(again.updated_at > cleared.updated_at, 'it says when it changed');
});

t.test('a change is of the own account only', async (t) => {
  const [ada, bob] = [await registerUser(server, { name: 'Ada' }), await registerUser(server, { name: 'Bob' })];
  const before = (await bob.as('GET', '/api/users/me')).json<object>();
  await ada.as('PUT', '/api/users/me', { name: 'Eve', picture: 'https://example.com/eve.png' });
  t.strictSame((await bob.as('GET', '/api/users/me')).json(), before);
});

t.test('pictures that are no https address are refused', async (t) => {
  const ada = await registerUser(server);
  const before = await readChecksums(server.database);
  const wrong = [
    'http://example.com/a.png',
    'javascript:alert(1)',
    'data:image/png;base64,AA==',
    'https://',
    'https:///a.png',
    'https://user@',
    'https://user:password@example.com/a.png',
    'https://example.com:x/',
    'https://example.com/a b.png',
    'https://example.com/\n',
    '//example.com/a.png',
    'HTTPS',
    `https://example.com/${'x'.repeat(2048)}`,
  ];
  for (const picture of wrong) {
    const response = await ada.as('PUT', '/api/users/me', { picture });
    t.equal(response.statusCode, 400, picture.slice(0, 40));
    t.match(response.json(), { code: 'VALIDATION_FAILED' });
  }
  t.strictSame(await readChecksums(server.database), before, 'nothing changed');
});

t.test('an account an admin made is in the audit log by its id only', async (t) => {
  const admin = await logInAsAdmin(server);
  const person = { email: 'grace.hopper@example.com', name: 'Grace Hopper', password: 'correct horse battery staple' };
  const { id } = (await admin.as('POST', '/api/admin/users', person)).json<{ id: string }>();
  const audit = await admin.as('GET', `/api/admin/audit?target=user:${id}`);
  t.match(audit.json(), { entries: [{ action: 'create_user', actor: 'admin:root', after: { allocated: 1_000_000 } }] });
  t.notMatch(audit.payload, /grace|hopper/i);
  t.match((await admin.as('GET', '/api/admin/users?q=grace')).json(), { users: [{ id, name: 'Grace Hopper' }] });
  const login = { email: person.email, password: person.password };
  t.equal((await server.app.inject({ method: 'POST', url: '/api/auth/login', payload: login })).statusCode, 200);
  await server.verifyLedger(t);
});

t.end();
