import { createApiKey, registerUser, sendWith } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { signUp } from '../../helpers/tracker.js';

const server = await openTestServer(t);
const user = await registerUser(server);
const admin = await logInAsAdmin(server);

interface Refusal {
  readonly error: string;
  readonly message: string;
  readonly errors: readonly { readonly path: string; readonly message: string }[];
}

const post = (url: string, payload: object) => server.app.inject({ method: 'POST', url, payload });
const messages = ({ errors }: Refusal) => errors.map(({ path, message }) => [path, message]);

t.test('what a person filled in wrongly is said in a sentence for each field', async (t) => {
  const registrations: [object, [string, string][]][] = [
    [
      { email: 'notanemail', password: 'short' },
      [
        ['email', 'Enter an e-mail address'],
        ['password', 'The password needs at least 8 characters'],
      ],
    ],
    [
      {},
      [
        ['email', 'Enter an e-mail address'],
        ['password', 'Enter a password'],
      ],
    ],
    [
      { email: 'a b@c', password: 'x'.repeat(257) },
      [
        ['email', 'Enter an e-mail address'],
        ['password', 'The password may have at most 256 characters'],
      ],
    ],
    [
      { email: 5, password: ['x'], name: ' ' },
      [
        ['email', 'Enter an e-mail address'],
        ['password', 'The password must be text'],
        ['name', 'name must not be blank'],
      ],
    ],
    [{ email: 'x@y\u200b.com', password: 'correct horse battery staple' }, [['email', 'Enter an e-mail address']]],
  ];
  for (const [body, problems] of registrations) {
    const answer = await post('/api/auth/register', body);
    t.equal(answer.statusCode, 400);
    const refusal = answer.json<Refusal>();
    t.strictSame(messages(refusal).sort(), [...problems].sort(), JSON.stringify(body));
    t.equal(refusal.error, refusal.errors[0]?.message);
    t.equal(refusal.message, refusal.error);
  }
});

t.test('our own routes say which fields they do not know, and what the others must be', async (t) => {
  const cases: ['POST' | 'PUT', string, object, [string, string][]][] = [
    [
      'POST',
      '/api/users/me/api-keys',
      { name: '', foo: 1, bar: 2 },
      [
        ['foo', 'Unknown field: foo'],
        ['bar', 'Unknown field: bar'],
        ['name', 'name must not be empty'],
      ],
    ],
    [
      'POST',
      '/api/events',
      { name: 5, timestamp: 1.5 },
      [
        ['name', 'name must be text'],
        ['timestamp', 'timestamp must be a whole number'],
      ],
    ],
    ['POST', '/api/events', [], [['', 'The body must be an object']]],
    [
      'PUT',
      '/api/users/me',
      { name: 7, picture: 'x' },
      [
        ['name', 'name must be text or null'],
        ['picture', 'picture must be a web address'],
      ],
    ],
    ['PUT', '/api/users/me', {}, [['', 'The body needs at least 1 field']]],
  ];
  for (const [method, url, body, problems] of cases) {
    const answer = await user.as(method, url, body);
    t.equal(answer.statusCode, 400, url);
    t.strictSame(messages(answer.json<Refusal>()).sort(), [...problems].sort());
  }
});

t.test('the same for addresses, queries and the choices there are', async (t) => {
  const choices = await user.as('POST', '/api/subscriptions', { tier: 'gold' });
  t.match(choices.json(), { errors: [{ path: 'tier', message: 'tier must be one of: pro, premium' }] });
  const query = await user.as('GET', '/api/usage?limit=x&unknown=1');
  t.strictSame(messages(query.json<Refusal>()).sort(), [
    ['limit', 'limit must be a whole number'],
    ['unknown', 'Unknown field: unknown'],
  ]);
  const unions: [object, string][] = [
    [{}, 'provider is missing'],
    [{ provider: 'x y', inputTokens: 1, outputTokens: 1, timestamp: 1 }, 'provider is not valid'],
    [{ events: [] }, 'events needs at least 1 entry'],
  ];
  for (const [body, sentence] of unions) {
    t.equal((await user.as('POST', '/api/usage', body)).json<Refusal>().error, sentence);
  }
  const address = await admin.as('PATCH', '/api/admin/devices/x', { name: 'New' });
  t.match(address.json(), { error: 'id must be an id, as this API gives them (a UUID)' });
});

t.test("no refusal holds a pattern, a validator's wording or what was sent", async (t) => {
  const bodies = [{ email: 'SECRET', password: 'SECRET', name: '' }, { provider: 'SECRET SECRET', model: 7 }, 'SECRET'];
  for (const url of ['/api/auth/register', '/api/auth/login', '/api/usage', '/api/trackUsage', '/api/admin/login']) {
    for (const body of bodies) {
      const { payload } = await user.as('POST', url, JSON.stringify(body), { 'content-type': 'application/json' });
      t.notMatch(payload, /must match|pattern|must NOT|schema|SECRET|\^|additional properties/, url);
    }
  }
});

t.test('a token of the wrong kind is told what it is, and what is needed', async (t) => {
  const device = await server.registerDevice();
  const tracker = await signUp(server, user.email);
  const cases: [token: string, url: string, status: number, sentence: string][] = [
    [device.token, '/api/users/me', 401, "This is a device's token; a person's access token is needed here"],
    [user.token, '/api/admin/dashboard', 401, "This is a person's access token; an admin's token is needed here"],
    [admin.token, '/api/users/me', 401, "This is an admin's token; a person's access token is needed here"],
    [tracker, `/api/devices/${device.id}/tokens`, 401, "This is a tracker's token; a device's token is needed here"],
    [await createApiKey(user), '/api/admin/dashboard', 401, 'An API key does not open this'],
    ['nonsense', '/api/users/me', 401, 'Invalid or expired token'],
  ];
  for (const [token, url, status, sentence] of cases) {
    const answer = await sendWith(server, token, 'GET', url);
    t.equal(answer.statusCode, status, url);
    t.equal(answer.json<Refusal>().error, sentence);
  }
  const tracked = await user.as('POST', '/api/trackUsage', { usage: 1 });
  t.match(tracked.json(), {
    code: 'TRACKER_TOKEN_INVALID',
    error: "This is a person's access token; a tracker's token is needed here",
  });
});

t.test('a request with very many values is told its first problem', async (t) => {
  const settings = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`s${n}`, 1]));
  const answer = await user.as('PUT', '/api/users/me/settings', { settings, version: 'x', device: 5 });
  t.equal(answer.json<Refusal>().errors.length, 1);
});

t.end();
