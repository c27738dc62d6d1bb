import { parseConfig } from '../../../src/config/config.js';
import { MailFailure } from '../../../src/platform/mail/failure.js';
import { createSendGridMailer } from '../../../src/platform/mail/sendgrid.js';
import { registerUser } from '../../helpers/accounts.js';
import { openSendGrid, type SendGridRefusal } from '../../helpers/fakes/sendgrid-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { findFreePort } from '../../helpers/local-program.js';
import { openDelivery, queueNotices, waitingMails } from '../../helpers/outbox.js';
import { askForLink, SITE, tokenIn } from '../../helpers/password-reset.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const FROM = 'noreply@tokens.example';
const KEY = 'SG.key';
const signal = new AbortController().signal;
const message = { id: 'x', to: 'somebody@münchen.example', subject: 'Grüße', text: 'Hello\n', html: '<p>Grüße</p>' };
const toMailer = (url: string) => createSendGridMailer({ from: FROM, sendGridApiKey: KEY, sendGridApiBase: `${url}/` });

/** Sends one mail to an API that refuses it, and returns what came of it. */
async function fail(t: Test, refusal: SendGridRefusal): Promise<MailFailure> {
  const { url } = await openSendGrid(t, () => refusal);
  const error: unknown = await toMailer(url)
    .send(message, signal)
    .catch((reason: unknown) => reason);
  if (!(error instanceof MailFailure)) throw new Error('it did not fail');
  return error;
}

t.test("a mail goes to SendGrid's API by HTTP, and no link in it through a host of theirs", async (t) => {
  const { url, request } = await openSendGrid(t);
  await toMailer(url).send(message, signal);
  const { path, headers, body } = await request(1);
  t.equal(path, 'POST /v3/mail/send');
  t.match(headers, { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' });
  t.strictSame(body, {
    personalizations: [{ to: [{ email: 'somebody@xn--mnchen-3ya.example' }] }],
    from: { email: FROM },
    subject: message.subject,
    content: [
      { type: 'text/plain', value: message.text },
      { type: 'text/html', value: message.html },
    ],
    headers: { 'Auto-Submitted': 'auto-generated' },
    tracking_settings: {
      click_tracking: { enable: false, enable_text: false },
      open_tracking: { enable: false },
      subscription_tracking: { enable: false },
    },
  });
});

t.test('only what is wrong with the mail itself is refused for good', async (t) => {
  const about = (field: string | null) => ({
    errors: [{ message: `somebody@example.com is not valid`, field, help: null }],
  });
  const recipient = await fail(t, { status: 400, body: about('personalizations.0.to.0.email') });
  t.match(recipient, { isRefused: true, details: { status: 400, fields: ['personalizations.0.to.0.email'] } });
  t.notMatch(
    JSON.stringify(recipient.details),
    'somebody@example.com',
    'what SendGrid says of the address is not told',
  );
  t.match(await fail(t, { status: 413 }), { isRefused: true });
  t.match(await fail(t, { status: 400, body: about('from.email') }), { isRefused: false });
  for (const status of [401, 403, 404, 429, 500, 503]) {
    t.match(await fail(t, { status, body: about(null) }), { isRefused: false, details: { status } });
  }
});

t.test('it waits as long as SendGrid asks for', async (t) => {
  const reset = String(Math.floor(Date.now() / 1_000) + 300);
  const waits = [
    await fail(t, { status: 429, headers: { 'retry-after': '120' } }),
    await fail(t, { status: 429, headers: { 'x-ratelimit-reset': reset } }),
    await fail(t, { status: 503 }),
  ].map(({ waitSeconds }) => waitSeconds);
  t.match(waits, [120, Number, undefined]);
  t.ok(Number(waits[1]) > 200 && Number(waits[1]) <= 300);

  const server = await openTestServer(t);
  const { url } = await openSendGrid(t, () => ({ status: 429, headers: { 'retry-after': '120' } }));
  const { lines, wake, stop } = openDelivery(server, toMailer(url));
  await queueNotices(server.database, ['somebody@example.com']);
  wake();
  await untilTrue(() => lines.length > 0);
  await stop();
  t.match(JSON.parse(lines[0] ?? ''), { msg: 'mail failed; it will be tried again', failure: { status: 429 } });
  t.strictSame(await waitingMails(server.database), [{ recipient: 'somebody@example.com', attempts: 1 }]);
  const [row] = await server.database.sql<{ waits: boolean }>(
    `select due_at > now() + interval '100 seconds' as waits from private.mails`,
  );
  t.equal(row?.waits, true);
});

t.test('an API that cannot be reached is tried again', async (t) => {
  const error: unknown = await toMailer(`http://127.0.0.1:${await findFreePort()}`)
    .send(message, signal)
    .catch((reason: unknown) => reason);
  t.match(error, { isRefused: false, details: { cause: { code: 'ECONNREFUSED' } } });
});

t.test('with SENDGRID_API_KEY alone a server mails its links there', async (t) => {
  const { url, request } = await openSendGrid(t);
  const environment = { SENDGRID_API_KEY: KEY, SENDGRID_API_BASE: url, FROM_EMAIL: FROM, PUBLIC_URL: SITE };
  const server = await openTestServer(t, { environment });
  const { email } = await registerUser(server);
  t.equal((await askForLink(server.app, email)).statusCode, 202);
  const { body } = await request(1);
  t.match(JSON.stringify(body), email);
  t.match(tokenIn(JSON.stringify(body)), /^[\w-]{43}$/);
});

t.test('the key and the links are sent in clear to this machine only', (t) => {
  const parse = (SENDGRID_API_BASE: string) =>
    parseConfig({ SENDGRID_API_KEY: KEY, FROM_EMAIL: FROM, PUBLIC_URL: SITE, SENDGRID_API_BASE });
  t.throws(() => parse('http://sendgrid.example'), { message: /SENDGRID_API_BASE is not valid/ });
  t.throws(() => parse('https://sendgrid.example/v3'), { message: /SENDGRID_API_BASE is not valid/ });
  t.match(parse('https://api.eu.sendgrid.com').mail, { sendGridApiBase: 'https://api.eu.sendgrid.com' });
  t.end();
});

t.end();
