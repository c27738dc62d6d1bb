import { createHash } from 'node:crypto';
import { registerUser } from '../../helpers/accounts.js';
import { openTestCluster } from '../../helpers/db/test-database.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { findFlaws, PREFIXES, readChecksums } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import {
  askForLink,
  mailEnvironment,
  mailedToken,
  resetPassword,
  SITE,
  tokenIn,
} from '../../helpers/password-reset.js';
import t from '../../helpers/run/tap.js';

const smtp = await openSmtpServer(t);
const database = await openTestCluster(t);
const server = await openTestServer(t, { database, environment: mailEnvironment(smtp) });
const { app } = server;
const UNKNOWN = 'nobody@example.org';
const IMPATIENT = 'impatient@example.org';

t.test('a link is mailed to an account, in text and in HTML, whatever the Host header says', async (t) => {
  const user = await registerUser(server);
  const answer = await askForLink(app, user.email, { host: 'evil.example', 'x-forwarded-host': 'evil.example' });
  t.equal(answer.statusCode, 202);
  t.match(answer.json(), { message: /\S/ });
  const mail = await smtp.mail(1);
  t.match({ from: mail.from, to: mail.to }, { from: 'noreply@tokens.example', to: [user.email] });
  t.equal(mail.headers.get('from'), 'noreply@tokens.example');
  t.equal(mail.headers.get('to'), user.email);
  t.match(mail.headers.get('subject'), /password/);
  t.equal(mail.headers.get('auto-submitted'), 'auto-generated', 'nobody out of office answers it');
  const link = `${SITE}/reset-password#${new URLSearchParams({ token: tokenIn(mail.text), email: user.email })}`;
  t.match(tokenIn(mail.text), /^[\w-]{43}$/, '256 random bits');
  t.ok(mail.text.split('\n').some((line) => line.trim() === link));
  const escaped = link.replace('&', '&amp;');
  t.match(mail.html, `<a href="${escaped}">${escaped}</a>`);
  t.notMatch(mail.html, /<img|src=|url\(/i, 'nothing is loaded from anywhere');
  t.notMatch(mail.text + mail.html, /evil/);
});

t.test('the address is found in any spelling, under both prefixes', async (t) => {
  const user = await registerUser(server);
  for (const prefix of PREFIXES) {
    const before = smtp.mails.length;
    const payload = { email: ` ${user.email.toUpperCase()} ` };
    const answer = await app.inject({ method: 'POST', url: `${prefix}/auth/forgot-password`, payload });
    t.equal(answer.statusCode, 202);
    t.strictSame((await smtp.mail(before + 1)).to, [user.email]);
  }
});

t.test('an unknown address gets the same answer, leaves the same rows behind and no mail', async (t) => {
  const user = await registerUser(server);
  const ask = async (email: string) => {
    const rows = await rowCounts();
    const { statusCode, payload, headers } = await askForLink(app, email);
    const changes = (await rowCounts()).map(([name, count], n) => [name, count - (rows[n]?.[1] ?? 0)]);
    const { date: _date, 'x-request-id': _id, ...constant } = headers;
    return { statusCode, payload, constant, changes };
  };
  for (const time of ['first', 'second', 'third', 'fourth']) {
    t.strictSame(await ask(UNKNOWN), await ask(user.email), `the ${time} time`);
  }
});

async function rowCounts(): Promise<[name: string, count: number][]> {
  // Mails come and go behind the answers; that each writes one is tested where they are.
  const sums = Object.entries(await readChecksums(database)).filter(([name]) => name !== 'private.mails');
  return sums.map(([name, sum]) => [name, Number(sum.split(':')[0])]);
}

t.test('beyond three mails in 15 minutes the answer is the same and the last link stays good', async (t) => {
  await registerUser(server, { email: IMPATIENT });
  const tokens = [];
  for (let n = 1; n <= 3; n += 1) tokens.push(await mailedToken(app, smtp, IMPATIENT));
  const answers = [await askForLink(app, UNKNOWN), await askForLink(app, IMPATIENT), await askForLink(app, IMPATIENT)];
  t.strictSame(new Set(answers.map(({ statusCode, payload }) => `${statusCode} ${payload}`)).size, 1);
  t.equal((await resetPassword(app, tokens.at(-1) ?? '')).statusCode, 200);

  await database.sql(`update private.login_attempts set window_ends_at = now() where scope = 'mail:reset'`);
  t.match(await mailedToken(app, smtp, IMPATIENT), /\S/, 'later there are mails again');
});

t.test('the database holds only hashes of tokens', async (t) => {
  const token = await mailedToken(app, smtp, (await registerUser(server)).email);
  const hash = createHash('sha256').update(token).digest('hex');
  const found: string[] = [];
  for (const name of Object.keys(await readChecksums(database))) {
    for (const [what, text] of Object.entries({ token, hash, bytes: Buffer.from(token).toString('hex') })) {
      const rows = await database.sql(`select from ${name} t where position($1 in t::text) > 0`, [text]);
      if (rows.length > 0) found.push(`${what} in ${name}`);
    }
  }
  t.strictSame(found, ['hash in private.password_resets']);
});

t.test('an address that asks too often is told to wait', async (t) => {
  const limited = await openTestServer(t, {
    database,
    environment: { ...mailEnvironment(smtp), RATE_LIMIT: 'on' },
  });
  for (const url of ['/api/auth/forgot-password', '/auth/reset-password']) {
    const payload = url.includes('forgot') ? { email: 'nobody@example.net' } : { token: 'x', new_password: 'x' };
    const headers = { 'x-forwarded-for': url.includes('forgot') ? '192.0.2.1' : '192.0.2.2' };
    const statuses: number[] = [];
    while (!statuses.includes(429) && statuses.length < 200) {
      const answer = await limited.app.inject({ method: 'POST', url, headers, payload });
      statuses.push(answer.statusCode);
      if (answer.statusCode === 429) t.strictSame(findFlaws(answer, url), []);
    }
    t.ok(statuses.length > 10 && statuses.includes(429), `${url} answers 429 in the end`);
  }
});

t.test('addresses that are proved are not unproved by asking, and the ledger is as it was', async (t) => {
  const user = await registerUser(server);
  await database.sql('update users set email_verified_at = now() where id = $1', [user.id]);
  await askForLink(app, user.email);
  t.equal((await user.as('GET', '/api/auth/sessions')).statusCode, 200, 'asking ends no session');
  await server.verifyLedger(t);
});

t.test('without the database it answers 503', async (t) => {
  await database.cluster.stop();
  const answer = await askForLink(app, 'somebody@example.com');
  t.equal(answer.statusCode, 503);
  t.match(answer.json(), { code: 'SERVICE_UNAVAILABLE' });
  const reset = await resetPassword(app, 'x'.repeat(43));
  t.match(reset.json(), { code: 'SERVICE_UNAVAILABLE' });
});

t.test('when all mail is out, nobody has had one too many', async (t) => {
  await app.close();
  const mailsTo = (email: string) =>
    smtp.mails.filter(({ to, text }) => to.includes(email) && tokenIn(text) !== '').length;
  t.equal(mailsTo(UNKNOWN), 0);
  t.equal(mailsTo(IMPATIENT), 3 + 1);
});

t.end();
