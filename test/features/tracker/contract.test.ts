import { randomUUID } from 'node:crypto';
import { registerUser } from '../../helpers/accounts.js';
import { isErrorBody } from '../../helpers/http/bad-input.js';
import { send } from '../../helpers/http/server-load.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { readCounters, signUp } from '../../helpers/tracker.js';

const server = await openTestServer(t);
const url = await server.listen();

function assertError(t: Test, answer: Awaited<ReturnType<typeof send>>, status: number, code: string) {
  t.match(answer, { status, body: { code } }, code);
  t.ok(isErrorBody(JSON.stringify(answer?.body)), 'in the one error body');
}

for (const prefix of ['/api', '']) {
  const at = prefix === '' ? 'at the root' : `under ${prefix}`;

  t.test(`${at}, signup answers a token for an existing account, and trackUsage adds to its counters`, async (t) => {
    const user = await registerUser(server);
    const signedUp = await send(url, `${prefix}/signup`, { body: { email: user.email } });
    t.equal(signedUp?.status, 200);
    t.strictSame(Object.keys(signedUp?.body ?? {}).sort(), ['message', 'sessionToken']);
    t.equal(signedUp?.body['message'], 'User signed up successfully');
    const token = String(signedUp?.body['sessionToken']);

    const first = await send(url, `${prefix}/trackUsage`, { token, body: { usage: 1, tokenCount: 120 } });
    t.equal(first?.status, 200);
    const message = 'Usage tracked successfully';
    t.strictSame(first?.body, { message, currentPromptCount: 1, currentTokenCount: 120, threshold: 10 });
    const second = await send(url, `${prefix}/trackUsage`, { token, body: { usage: 2, tokenCount: 0 } });
    t.strictSame(second?.body, { message, currentPromptCount: 3, currentTokenCount: 120, threshold: 10 });
    const nothing = await send(url, `${prefix}/trackUsage`, { token, body: { usage: 0, tokenCount: 0 } });
    t.strictSame(nothing?.body, second?.body);
    await server.verifyLedger(t);
  });

  t.test(`${at}, every documented refusal is answered with its status`, async (t) => {
    const user = await registerUser(server);
    const body = { usage: 1, tokenCount: 1 };
    for (const nobody of [{}, { email: '' }, { email: '  ' }]) {
      const refused = await send(url, `${prefix}/signup`, { body: nobody });
      assertError(t, refused, 400, 'EMAIL_REQUIRED');
      t.match(refused?.body, { error: 'Email is required' });
    }
    assertError(t, await send(url, `${prefix}/signup`, { body: { email: 'nobody' } }), 400, 'VALIDATION_FAILED');
    const unknown = await send(url, `${prefix}/signup`, { body: { email: 'nobody@example.com' } });
    assertError(t, unknown, 404, 'USER_NOT_FOUND');
    t.match(unknown?.body, { error: 'User not found' });

    const token = await signUp(server, user.email);
    assertError(t, await send(url, `${prefix}/trackUsage`, { body }), 401, 'MISSING_TOKEN');
    assertError(t, await send(url, `${prefix}/trackUsage`, { body, token: `${token} x` }), 401, 'INVALID_TOKEN');
    assertError(t, await send(url, `${prefix}/trackUsage`, { body, token: 'x' }), 403, 'TRACKER_TOKEN_INVALID');
    const tampered = `${token.slice(0, -2)}${token.endsWith('AA') ? 'BB' : 'AA'}`;
    assertError(t, await send(url, `${prefix}/trackUsage`, { body, token: tampered }), 403, 'TRACKER_TOKEN_INVALID');
    t.equal(await readCounters(server, user.id), undefined, 'nothing was counted');

    await server.database.sql('delete from users where id = $1', [user.id]);
    assertError(t, await send(url, `${prefix}/trackUsage`, { body, token }), 404, 'USER_NOT_FOUND');
  });
}

t.test('an account is found however its address is spelt', async (t) => {
  const id = randomUUID();
  const user = await registerUser(server, { email: `Ömer-${id}@Example.com` });
  for (const email of [`ömer-${id}@example.com`, ` O\u0308MER-${id}@EXAMPLE.COM `]) {
    const token = await signUp(server, email);
    t.equal((await send(url, '/trackUsage', { token, body: { usage: 1, tokenCount: 1 } }))?.status, 200);
  }
  t.match(await readCounters(server, user.id), { prompts: '2', tokens: '2' });
  await server.verifyLedger(t);
});

t.test('the token names the account by its id, for 30 days, and holds nothing else', async (t) => {
  const user = await registerUser(server);
  const [header = '', payload = ''] = (await signUp(server, user.email)).split('.');
  const decoded = (part: string): Record<string, unknown> => JSON.parse(Buffer.from(part, 'base64url').toString());
  t.strictSame(decoded(header), { alg: 'HS256', typ: 'JWT' });
  const { iat, exp, ...claims } = decoded(payload);
  t.strictSame(claims, { aud: 'tracker', iss: 'tokenledger', sub: user.id, ver: 1 });
  t.equal(Number(exp) - Number(iat), 30 * 24 * 60 * 60);
});

t.test('a token that is over is refused with 403, however often it was accepted before', async (t) => {
  const user = await registerUser(server);
  const token = server.app.jwt.sign({ aud: 'tracker', sub: user.id }, { expiresIn: '2s' });
  const track = () => send(url, '/trackUsage', { token, body: { usage: 0, tokenCount: 1 } });
  t.equal((await track())?.status, 200);
  let answer = await track();
  while (answer?.status === 200) answer = await track();
  assertError(t, answer, 403, 'TRACKER_TOKEN_INVALID');
  await server.verifyLedger(t);
});

t.test('usage is recorded as an event of the account, reported by its client, that costs nothing', async (t) => {
  const user = await registerUser(server);
  const token = await signUp(server, user.email);
  await send(url, '/trackUsage', { token, body: { usage: 3, tokenCount: 10_000_000 } });
  const events = await server.database.sql(
    `select e.subject_id, e.user_id, e.device_id, e.source, e.provider, e.model, e.prompt_count, e.input_tokens,
            e.output_tokens, e.total_tokens, e.cost, e.provenance, e.period = b.period as current_period
       from usage_events e join balances b using (subject_id) where e.user_id = $1`,
    [user.id],
  );
  t.strictSame(events, [
    {
      subject_id: user.id,
      user_id: user.id,
      device_id: null,
      source: 'tracker',
      provider: 'unknown',
      model: 'unknown',
      prompt_count: 3,
      input_tokens: '0',
      output_tokens: '0',
      total_tokens: '10000000',
      cost: '0',
      provenance: 'client_reported',
      current_period: true,
    },
  ]);
  await server.verifyLedger(t);
});

t.test('an account without a token left is counted like any other, and its balance stays', async (t) => {
  const poor = await openTestServer(t, { environment: { DEFAULT_USER_TOKENS: '0', PROMPT_THRESHOLD: '2' } });
  const user = await registerUser(poor);
  const token = await signUp(poor, user.email);
  for (const usage of [2, 5]) {
    const payload = { usage, tokenCount: 500 };
    const headers = { authorization: `Bearer ${token}` };
    const answer = await poor.app.inject({ method: 'POST', url: '/trackUsage', headers, payload });
    t.match(answer.json(), { threshold: 2 });
    t.equal(answer.statusCode, 200, 'beyond the threshold as well');
  }
  t.match(await readCounters(poor, user.id), { prompts: '7', tokens: '1000' });
  const balances = await poor.database.sql('select allocated, used from balances');
  t.strictSame(balances, [{ allocated: '0', used: '0' }]);
  await poor.verifyLedger(t);
});

t.end();
