import { createHash } from 'node:crypto';
import { sendWith } from '../../helpers/accounts.js';
import { insertionLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { CHALLENGE, exchangeCode, obtainCode, openGoogle, REDIRECT_URI, VERIFIER } from '../../helpers/sign-in.js';

const google = await openGoogle(t);
const server = await openTestServer(t, { environment: google.environment });
const { sql } = server.database;

const challenged = () => obtainCode(server, { code_challenge: CHALLENGE });
const sessions = async () => (await sql('select 1 from private.sessions')).length;

t.test('a code is swapped for tokens once', async (t) => {
  const code = await challenged();
  const first = await exchangeCode(server, { code, code_verifier: VERIFIER });
  t.equal(first.statusCode, 200);
  t.match(first.json(), { token: /\./, refresh_token: /\S/, expires_in: 604_800, user: { email: 'ada@example.com' } });
  const second = await exchangeCode(server, { code, code_verifier: VERIFIER });
  t.equal(second.statusCode, 400);
  t.match(second.json(), { code: 'INVALID_GRANT' });
});

t.test('of 50 swaps of one code at once one opens a session', async (t) => {
  const code = await challenged();
  const before = await sessions();
  const payload = { code, code_verifier: VERIFIER, redirect_uri: REDIRECT_URI };
  const responses = await meetAtLock(server.database, insertionLock('private.oauth_codes', 3), () =>
    Promise.all(Array.from({ length: 50 }, () => exchangeCode(server, payload))),
  );
  const won = responses.filter(({ statusCode }) => statusCode === 200);
  t.equal(won.length, 1);
  const lost = responses.filter((response) => response.statusCode === 400 && response.json().code === 'INVALID_GRANT');
  t.equal(lost.length, 49);
  t.equal(await sessions(), before + 1);
  const { token } = won[0]?.json<{ token: string }>() ?? { token: '' };
  t.equal((await sendWith(server, token, 'GET', '/api/auth/sessions')).statusCode, 200);
});

/** The ways to exchange a code wrongly. */
const WRONG = [
  { what: 'a wrong verifier', bound: true, sent: { code_verifier: VERIFIER.toLowerCase() } },
  { what: 'a short verifier', bound: true, sent: { code_verifier: 'wrong' } },
  { what: 'the challenge as verifier', bound: true, sent: { code_verifier: CHALLENGE } },
  { what: 'no verifier where a challenge was given', bound: true, sent: {} },
  { what: 'a verifier where no challenge was given', bound: false, sent: { code_verifier: VERIFIER } },
  { what: 'another redirect_uri', bound: false, sent: { redirect_uri: `${REDIRECT_URI}/` } },
] as const;
for (const { what, bound, sent } of WRONG) {
  t.test(`${what} is refused, and burns the code`, async (t) => {
    const code = bound ? await challenged() : await obtainCode(server);
    const before = await sessions();
    const response = await exchangeCode(server, { code, ...sent });
    t.equal(response.statusCode, 400);
    t.match(response.json(), { code: 'INVALID_GRANT' });
    const right = await exchangeCode(server, {
      code,
      ...(bound && { code_verifier: VERIFIER }),
      redirect_uri: REDIRECT_URI,
    });
    t.match(right.json(), { code: 'INVALID_GRANT' });
    t.equal(await sessions(), before);
  });
}

t.test('without a challenge and without an address the code alone is enough', async (t) => {
  t.equal((await exchangeCode(server, { code: await obtainCode(server) })).statusCode, 200);
});

t.test('a code ends after 2 minutes', async (t) => {
  const code = await obtainCode(server);
  const hash = createHash('sha256').update(code).digest();
  const [row] = await sql<{ seconds: number }>(
    'select extract(epoch from expires_at - now())::integer as seconds from private.oauth_codes where code_hash = $1',
    [hash],
  );
  t.ok(row !== undefined && row.seconds > 60 && row.seconds <= 120);
  await sql('update private.oauth_codes set expires_at = now() where code_hash = $1', [hash]);
  t.match((await exchangeCode(server, { code })).json(), { code: 'INVALID_GRANT' });
});

t.test('what is no code is refused', async (t) => {
  for (const code of ['x', 'x'.repeat(43), 'x'.repeat(128)]) {
    t.match((await exchangeCode(server, { code })).json(), { code: 'INVALID_GRANT' }, code);
  }
  const bad = [{}, { code: '' }, { code: 1 }, { code: null }, { code: 'x'.repeat(129) }];
  const extra = (await exchangeCode(server, { code: 'x', extra: 1 })).json();
  t.match(extra, { code: 'INVALID_GRANT' }, 'what is not known is ignored');
  for (const payload of [
    ...bad,
    { code: 'a\u0000' },
    { code: 'x', code_verifier: 1 },
    { code: 'x', redirect_uri: 1 },
  ]) {
    const response = await exchangeCode(server, payload);
    t.equal(response.statusCode, 400);
    t.match(response.json(), { code: 'VALIDATION_FAILED' }, JSON.stringify(payload));
  }
});

t.test('maintenance removes what nobody came back for, and nothing else', async (t) => {
  await sql('delete from private.oauth_codes');
  await sql('delete from private.oauth_flows');
  const [old, current] = [await obtainCode(server), await obtainCode(server)];
  await server.app.inject({ url: '/api/auth/oauth/google' });
  await server.app.inject({ url: '/api/auth/oauth/google' });
  await sql(`update private.oauth_codes set expires_at = now() - interval '1 second' where code_hash = $1`, [
    createHash('sha256').update(old).digest(),
  ]);
  await sql(`update private.oauth_flows set expires_at = now() - interval '1 second'
              where state_hash = (select min(state_hash::text)::bytea from private.oauth_flows)`);
  const [pruned] = await sql<{ rows: number }>('select private.prune_oauth() as rows');
  t.equal(pruned?.rows, 2);
  t.equal((await sql('select 1 from private.oauth_flows')).length, 1);
  t.equal((await exchangeCode(server, { code: current })).statusCode, 200);
  await server.verifyLedger(t);
});

t.end();
