import { randomUUID } from 'node:crypto';
import { registerUser, sendWith } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { insertionLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { authenticate, openGoogleTokens } from '../../helpers/fakes/google-tokens.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { mailEnvironment, SITE } from '../../helpers/password-reset.js';
import t from '../../helpers/run/tap.js';
import { DEFAULT_TOKENS, mailedLink, verifyEmail } from '../../helpers/sign-up.js';
import { until } from '../../helpers/until.js';

const smtp = await openSmtpServer(t);
const google = await openGoogleTokens(t);
const server = await openTestServer(t, {
  environment: { ...mailEnvironment(smtp), ...google.environment, SIGNUP: 'invite' },
});
const { sql } = server.database;
const admin = await logInAsAdmin(server);

const PASSWORD = 'correct horse battery staple';
const anAddress = () => `${randomUUID()}@example.com`;

interface Invitation {
  readonly id: string;
  readonly code: string;
  readonly link: string;
  readonly mailed: boolean;
}

async function invite(payload: object = {}): Promise<Invitation> {
  const response = await admin.as('POST', '/api/admin/invitations', payload);
  if (response.statusCode !== 201) throw new Error(`inviting answered ${response.payload}`);
  return response.json<Invitation>();
}

function register(invitation?: string, email = anAddress()) {
  const payload = { email, password: PASSWORD, ...(invitation !== undefined && { invitation }) };
  return server.app.inject({ method: 'POST', url: '/api/auth/register', payload });
}

t.test('nobody new comes in without a code, with a made-up, an expired or a used one', async (t) => {
  t.match((await register()).json(), { code: 'INVITATION_REQUIRED' });
  const expired = await invite({ expires_in_days: 1 });
  await sql('update private.invitations set expires_at = now() where id = $1', [expired.id]);
  const used = await invite();
  t.equal((await register(` ${used.code}\n`)).statusCode, 201, 'blanks around a pasted code do not count');
  for (const code of ['made-up', expired.code, used.code]) {
    const email = anAddress();
    const refused = await register(code, email);
    t.equal(refused.statusCode, 403);
    t.match(refused.json(), { code: 'INVITATION_INVALID' });
    t.strictSame(await sql('select 1 from users where email = $1', [email]), [], 'and there is no account');
  }
  await server.verifyLedger(t);
});

t.test('a code for anybody makes an account, whose tokens wait for the proof of its address', async (t) => {
  const { code, link, mailed } = await invite();
  t.equal(link, `${SITE}/invitation#code=${code}`);
  t.equal(mailed, false);
  const email = anAddress();
  t.match((await register(code, email)).json(), { user: { tokens_left: 0 } });
  await verifyEmail(server, await mailedLink(smtp, email));
  const login = await server.app.inject({
    method: 'POST',
    url: '/api/auth/login',
    payload: { email, password: PASSWORD },
  });
  t.equal(login.json().user.tokens_left, DEFAULT_TOKENS);
});

t.test('a code that names tokens brings them at once, and no others later', async (t) => {
  const { id, code } = await invite({ tokens: 5_000 });
  const email = anAddress();
  const registered = await register(code, email);
  t.match(registered.json(), { user: { tokens_left: 5_000 } });
  const { token, user } = registered.json<{ token: string; user: { id: string } }>();
  await verifyEmail(server, await mailedLink(smtp, email));
  t.match((await sendWith(server, token, 'GET', '/api/users/me')).json(), { email_verified: true, tokens_left: 5_000 });
  const [entry] = await sql(
    'select kind, amount::integer, actor, reference from ledger_entries where subject_id = $1',
    [user.id],
  );
  t.strictSame(entry, { kind: 'grant', amount: 5_000, actor: 'admin:root', reference: `invitation:${id}` });
  await server.verifyLedger(t);
});

t.test('an invitation to an address is mailed there, is good for nobody else, and proves it', async (t) => {
  const email = anAddress();
  const { code, link, mailed } = await invite({ email: email.toUpperCase() });
  t.equal(mailed, true);
  const mail = await until('the invitation arrives', () => smtp.mails.find(({ to }) => to.includes(email)));
  t.match(mail.text, link);
  t.match((await register(code)).json(), { code: 'INVITATION_INVALID' });
  const registered = await register(code, email);
  t.match(registered.json(), { user: { email, tokens_left: DEFAULT_TOKENS } });
  const { token } = registered.json<{ token: string }>();
  t.match((await sendWith(server, token, 'GET', '/api/users/me')).json(), { email_verified: true });
  t.equal(
    (await admin.as('POST', '/api/admin/invitations', { email })).statusCode,
    409,
    'who has an account is not invited',
  );
  await server.verifyLedger(t);
});

t.test('people new at a provider come in with the address they were invited at, others are told', async (t) => {
  const email = anAddress();
  const refused = await authenticate(server, google.issue({ email }));
  t.equal(refused.statusCode, 403);
  t.match(refused.json(), { code: 'INVITATION_REQUIRED', error: /invitation/ });
  t.strictSame(await sql('select 1 from users where email = $1', [email]), []);
  await invite({ email, tokens: 7 });
  const person = { sub: randomUUID(), email };
  t.match((await authenticate(server, google.issue(person))).json(), { email, total_tokens: 7 });
  t.match((await authenticate(server, google.issue(person))).json(), { email, total_tokens: 7 }, 'and come back');
  await server.verifyLedger(t);
});

t.test('of 20 people with one code at once one gets an account', async (t) => {
  const { code } = await invite();
  const answers = await meetAtLock(server.database, insertionLock('users', 3), () =>
    Promise.all(Array.from({ length: 20 }, () => register(code))),
  );
  t.equal(answers.filter(({ statusCode }) => statusCode === 201).length, 1);
  t.equal(answers.filter(({ statusCode }) => statusCode === 403).length, 19);
  await server.verifyLedger(t);
});

t.test('admins see invitations without their codes, page by page, and take them back', async (t) => {
  const [first, second] = [await invite({ tokens: 1 }), await invite()];
  const page = await admin.as('GET', '/api/admin/invitations?limit=1');
  t.match(page.json(), { invitations: [{ id: second.id, tokens: null, email: null, redeemed_at: null }] });
  const next = await admin.as('GET', `/api/admin/invitations?limit=1&cursor=${page.json().next_cursor}`);
  t.match(next.json(), { invitations: [{ id: first.id, tokens: 1, created_by: 'admin:root' }] });
  t.notMatch(page.payload + next.payload, second.code);
  t.equal((await admin.as('DELETE', `/api/admin/invitations/${first.id}`)).statusCode, 200);
  t.equal((await admin.as('DELETE', `/api/admin/invitations/${first.id}`)).statusCode, 404);
  t.match((await register(first.code)).json(), { code: 'INVITATION_INVALID' });
  const rows = await sql<{ row: string }>('select i::text as row from private.invitations i');
  t.notMatch(rows.map(({ row }) => row).join(), second.code, 'only the digest of a code is kept');
});

t.test('who invited and who came is in the audit log, without an address', async (t) => {
  const email = anAddress();
  const { id, code } = await invite({ email });
  const { user } = (await register(code, email)).json<{ user: { id: string } }>();
  const { entries } = (await admin.as('GET', `/api/admin/audit?target=invitation:${id}`)).json();
  t.match(entries, [
    { action: 'redeem_invitation', actor: `user:${user.id}` },
    { action: 'create_invitation', actor: 'admin:root', after: { is_bound: true, tokens: null } },
  ]);
  t.notMatch(JSON.stringify(entries), email);
});

t.test('an invitation goes with the account that was made with it', async (t) => {
  const { id, code } = await invite();
  const { token } = (await register(code)).json<{ token: string }>();
  t.equal((await sendWith(server, token, 'DELETE', '/api/users/me')).statusCode, 200);
  t.strictSame(await sql('select 1 from private.invitations where id = $1', [id]), []);
});

t.test('behind a closed door nobody new comes in, with whatever they bring, and everybody else stays', async (t) => {
  const open = await openTestServer(t, { database: server.database });
  const user = await registerUser(open);
  const email = anAddress();
  const { code } = await invite({ email });
  const environment = { ...google.environment, SIGNUP: 'closed' };
  const closed = await openTestServer(t, { database: server.database, environment });
  const payload = { email, password: PASSWORD, invitation: code };
  for (const answer of [
    await closed.app.inject({ method: 'POST', url: '/api/auth/register', payload }),
    await authenticate(closed, google.issue({ email })),
  ]) {
    t.equal(answer.statusCode, 403);
    t.match(answer.json(), { code: 'SIGNUP_CLOSED' });
  }
  const login = { email: user.email, password: user.password };
  t.equal((await closed.app.inject({ method: 'POST', url: '/api/auth/login', payload: login })).statusCode, 200);
  t.match((await authenticate(closed, google.issue({ email: user.email }))).json(), { id: user.id });
});

t.end();
