import { randomBytes, randomUUID } from 'node:crypto';
import { createSmtpMailer } from '../../../src/platform/mail/smtp.js';
import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openSmtpServer, type SmtpServer } from '../../helpers/fakes/smtp-server.js';
import { openLoggedServer } from '../../helpers/http/log-lines.js';
import { openDirectory, startServer } from '../../helpers/http/server-process.js';
import { openTestServer, testEnvironment } from '../../helpers/http/test-server.js';
import { findFreePort } from '../../helpers/local-program.js';
import { makeDue, openDelivery, queueNotices, waitingMails } from '../../helpers/outbox.js';
import { askForLink, mailEnvironment, resetPassword, tokenIn } from '../../helpers/password-reset.js';
import t from '../../helpers/run/tap.js';
import { until, untilTrue } from '../../helpers/until.js';

const server = await openTestServer(t);
const { database } = server;
const { sql } = database;
const EMAIL = 'somebody@example.com';
const toMailer = ({ url }: SmtpServer) => createSmtpMailer({ smtpUrl: url, from: 'noreply@tokens.example' });
const messagesOf = (lines: readonly string[]) => lines.map((line): string => JSON.parse(line).msg);

t.beforeEach(async () => {
  await sql('delete from private.mails');
  await sql('delete from private.login_attempts');
});

t.test('a mail server that is busy is asked again, later and later', async (t) => {
  let attempts = 0;
  const refusal = (line: string) => {
    if (!line.startsWith('RCPT')) return undefined;
    attempts += 1;
    return attempts < 3 ? `451 <${EMAIL}> is busy` : undefined;
  };
  const smtp = await openSmtpServer(t, { refusal });
  const { lines, wake, stop } = openDelivery(server, toMailer(smtp));
  await queueNotices(database, [EMAIL]);
  for (const attempt of [1, 2]) {
    wake();
    await until('the attempt is settled', async () => {
      const [row] = await sql<{ seconds: number }>(
        `select extract(epoch from due_at - now())::float as seconds from private.mails
          where attempts = $1 and due_at < now() + interval '50 seconds'`,
        [attempt],
      );
      if (row !== undefined) t.ok(row.seconds < 2 ** attempt * 1.25, `2, 4 … seconds, give or take: ${row.seconds}`);
      return row;
    });
    await makeDue(database);
  }
  wake();
  await smtp.mail(1);
  await stop();
  t.equal(attempts, 3);
  t.match(
    lines.map((line): unknown => JSON.parse(line)),
    [
      {
        msg: 'mail failed; it will be tried again',
        attempt: 1,
        kind: 'notice',
        failure: { code: 'EENVELOPE', responseCode: 451 },
      },
      { msg: 'mail failed; it will be tried again', attempt: 2 },
    ],
  );
  t.equal(lines.length, 2);
  t.notMatch(lines.join(''), EMAIL, 'what the server said of the address is not logged');
  t.strictSame(await waitingMails(database), [], 'what is sent is gone');
});

t.test('an address that is refused for good is given up, a sender that is refused is not', async (t) => {
  let refused = 'RCPT';
  const refusal = (line: string) => (line.startsWith(refused) ? `550 no <${EMAIL}> here` : undefined);
  const smtp = await openSmtpServer(t, { refusal });
  const { lines, wake, stop } = openDelivery(server, toMailer(smtp));
  await queueNotices(database, [EMAIL]);
  wake();
  await untilTrue(async () => (await waitingMails(database)).length === 0);
  t.match(JSON.parse(lines[0] ?? ''), {
    msg: 'mail given up: it was refused for good',
    failure: { responseCode: 550, command: 'RCPT TO' },
  });
  refused = 'MAIL';
  await queueNotices(database, [EMAIL]);
  wake();
  await untilTrue(() => lines.length === 2);
  await stop();
  t.match(messagesOf(lines)[1], 'it will be tried again');
  t.strictSame(await waitingMails(database), [{ recipient: EMAIL, attempts: 1 }]);
  t.notMatch(lines.join(''), EMAIL);
});

t.test('many mails go out a few at a time, and one that fails holds up no other', async (t) => {
  const refusal = (line: string) => (/^RCPT.*bad/.test(line) ? '550 no' : undefined);
  const smtp = await openSmtpServer(t, { silent: true, refusal });
  const { wake, stop } = openDelivery(server, toMailer(smtp));
  await queueNotices(
    database,
    Array.from({ length: 40 }, (_, n) => `${n % 4 === 0 ? 'bad' : 'good'}${n}@example.com`),
  );
  wake();
  await untilTrue(() => smtp.connections() === 5);
  smtp.greet();
  await untilTrue(async () => (await waitingMails(database)).length === 0);
  await stop();
  t.equal(smtp.connections(), 40);
  t.equal(smtp.mails.length, 30);
});

t.test('of two servers that look at the same moment, one sends a mail', async (t) => {
  const smtp = await openSmtpServer(t);
  const addresses = Array.from({ length: 20 }, (_, n) => `person${n}@example.com`);
  await queueNotices(database, addresses);
  const deliveries = [1, 2].map(() => openDelivery(server, toMailer(smtp)));
  const lock = { statement: 'lock table private.mails in exclusive mode', waiting: 2 };
  await meetAtLock(database, lock, async () => {
    for (const { wake } of deliveries) wake();
  });
  await untilTrue(async () => (await waitingMails(database)).length === 0);
  await Promise.all(deliveries.map(({ stop }) => stop()));
  t.strictSame(smtp.mails.map(({ to }) => to[0]).toSorted(), addresses.toSorted());
  t.equal(new Set(smtp.mails.map(({ headers }) => headers.get('message-id'))).size, 20);
});

t.test('stopping gives back what a mail server keeps waiting, and the next start sends it', async (t) => {
  const slow = await openSmtpServer(t, { silent: true });
  const { lines, wake, stop } = openDelivery(server, toMailer(slow), 1);
  await queueNotices(database, [EMAIL]);
  wake();
  await untilTrue(() => slow.connections() === 1);
  await stop();
  t.match(messagesOf(lines), [/it stays in the outbox/]);
  t.strictSame(await waitingMails(database), [{ recipient: EMAIL, attempts: 0 }]);
  const smtp = await openSmtpServer(t);
  const next = openDelivery(server, toMailer(smtp));
  next.wake();
  t.strictSame((await smtp.mail(1)).to, [EMAIL]);
  await next.stop();
});

t.test('a server killed with a mail in its hands loses it to nobody', async (t) => {
  const { email } = await registerUser(server);
  const slow = await openSmtpServer(t, { silent: true });
  const { path: cwd } = await openDirectory(t);
  const port = String(await findFreePort());
  const environment = testEnvironment(database, { LOG_LEVEL: 'silent', PORT: port });
  const killed = startServer(t, { cwd, environment: { ...environment, ...mailEnvironment(slow) } });
  await killed.ready();
  const body = JSON.stringify({ email });
  const headers = { 'content-type': 'application/json' };
  t.equal(
    (await fetch(`http://127.0.0.1:${port}/api/auth/forgot-password`, { method: 'POST', headers, body })).status,
    202,
  );
  await untilTrue(() => slow.connections() === 1);
  killed.signal('SIGKILL');
  await killed.ended;

  await makeDue(database);
  const smtp = await openSmtpServer(t);
  const next = startServer(t, { cwd, environment: { ...environment, ...mailEnvironment(smtp) } });
  await next.ready();
  const mail = await smtp.mail(1);
  t.strictSame(mail.to, [email]);
  t.equal((await resetPassword(server.app, tokenIn(mail.text))).statusCode, 200, 'the link is still good');
});

t.test('a link is in no table, and is read by who has the secret it was sealed with, rotated or not', async (t) => {
  const [old, young, other] = [1, 2, 3].map(() => randomBytes(32).toString('base64url'));
  const { email } = await registerUser(server);
  const down = await openSmtpServer(t);
  await down.close();
  const open = (secret: string, smtp: SmtpServer) =>
    openLoggedServer(t, database, { environment: { ...mailEnvironment(smtp), JWT_SECRET: secret } });
  const first = await open(old ?? '', down);
  t.equal((await askForLink(first.app, email)).statusCode, 202);
  await untilTrue(() => messagesOf(first.lines).includes('mail failed; it will be tried again'));
  const [row] = await sql<{ text: string }>(`select encode(sealed, 'escape') || m::text as text from private.mails m`);
  t.ok((row?.text.length ?? 0) > 500);
  t.notMatch(row?.text, /token=|reset-password|Set a new/);

  const smtp = await openSmtpServer(t);
  await first.app.close();
  const stranger = await open(other ?? '', smtp);
  await makeDue(database);
  // Asking for anything wakes the outbox.
  await askForLink(stranger.app, 'nobody@example.com');
  await untilTrue(() => messagesOf(stranger.lines).includes('mail failed; it will be tried again'));
  t.equal(smtp.mails.length, 0);
  await stranger.app.close();
  const rotated = await open(`${young},${old}`, smtp);
  await makeDue(database);
  await askForLink(rotated.app, 'nobody@example.com');
  t.match(tokenIn((await smtp.mail(1)).text), /^[\w-]{43}$/);
});

t.test('a mail whose time is over is not sent, and the log tells', async (t) => {
  const smtp = await openSmtpServer(t);
  const { lines, wake, stop } = openDelivery(server, toMailer(smtp));
  await queueNotices(database, [EMAIL]);
  await sql('update private.mails set expires_at = now()');
  wake();
  await untilTrue(async () => (await waitingMails(database)).length === 0);
  await stop();
  t.match(JSON.parse(lines[0] ?? ''), { kinds: ['notice'], msg: /time was over/ });
  t.equal(smtp.connections(), 0);
});

t.test('a newer link takes the place of one that is not out yet, and a deleted account leaves none', async (t) => {
  const user = await registerUser(server);
  const request = (email: string) =>
    sql(`select public.request_password_reset($1, $2, 'c2VhbGVk')`, [email, randomBytes(32).toString('hex')]);
  await request(user.email);
  await request(user.email);
  t.equal((await waitingMails(database)).length, 1);
  await request('nobody@example.com');
  t.equal((await sql('select from private.mails')).length, 2, 'a row as well where nobody is mailed');
  t.strictSame(
    (await waitingMails(database)).map(({ recipient }) => recipient),
    [user.email],
  );
  t.equal((await user.as('DELETE', '/api/users/me')).statusCode, 200);
  t.strictSame(await waitingMails(database), []);
});

t.test('what causes a mail and the mail come about together, or neither does', async (t) => {
  const smtp = await openSmtpServer(t);
  const { app } = await openLoggedServer(t, database, { environment: mailEnvironment(smtp) });
  const { email } = await registerUser(server);
  await sql('alter table private.mails add constraint broken check (false) not valid');
  t.equal((await askForLink(app, email)).statusCode, 500);
  await sql('alter table private.mails drop constraint broken');
  t.strictSame(await sql('select from private.password_resets where email = $1', [email]), []);
});

t.test('one address gets 20 notices an hour', async (t) => {
  const { id, email } = await registerUser(server);
  for (let n = 0; n < 25; n += 1) await sql(`select private.queue_notice($1, $2, 'c2VhbGVk')`, [id, email]);
  t.equal((await waitingMails(database)).length, 20);
});

t.test('admins see how much waits, and no address', async (t) => {
  const admin = await logInAsAdmin(server, `mail-${randomUUID()}`, 'viewer');
  const empty = { waiting: 0, failing: 0, oldest_at: null, next_attempt_at: null, kinds: {} };
  t.strictSame((await admin.as('GET', '/api/admin/mail')).json(), empty);
  await queueNotices(database, ['one@example.com', 'two@example.com']);
  await sql(`update private.mails set attempts = 2 where recipient = 'one@example.com'`);
  const { payload } = await admin.as('GET', '/api/admin/mail');
  t.match(JSON.parse(payload), {
    waiting: 2,
    failing: 1,
    oldest_at: /^2/,
    next_attempt_at: /^2/,
    kinds: { notice: 2 },
  });
  t.notMatch(payload, 'example.com');
});

t.end();
