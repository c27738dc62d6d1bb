import { openTestDatabase } from '../../helpers/db/test-database.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { openLoggedServer } from '../../helpers/http/log-lines.js';
import { askForLink, mailEnvironment, mailedToken, resetPassword, tokenIn } from '../../helpers/password-reset.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const database = await openTestDatabase(t);
const EMAIL = 'somebody@example.com';
await database.sql('select private.create_account($1, null, null)', [EMAIL]);
t.beforeEach(() => database.sql('delete from private.login_attempts; delete from private.mails'));

t.test('a mail server that is down is logged without address or link, and nobody notices', async (t) => {
  const smtp = await openSmtpServer(t);
  await smtp.close();
  const { app, lines } = await openLoggedServer(t, database, { environment: mailEnvironment(smtp) });
  const answer = await askForLink(app, EMAIL);
  t.equal(answer.statusCode, 202);
  await untilTrue(() => lines.some((line) => line.includes('mail failed')));
  const log = lines.join('');
  t.match(log, 'ECONNREFUSED', 'the reason is there');
  const waiting = await database.sql('select from private.mails where recipient = $1', [EMAIL]);
  t.equal(waiting.length, 1, 'the mail waits');
  t.notMatch(log, EMAIL);
  t.notMatch(log, 'token=');
});

t.test('a mail server that is slow does not delay the answer, and closing waits for it', async (t) => {
  const smtp = await openSmtpServer(t, { silent: true });
  const { app, lines } = await openLoggedServer(t, database, { environment: mailEnvironment(smtp) });
  t.equal((await askForLink(app, EMAIL)).statusCode, 202);
  await untilTrue(() => smtp.connections() === 1);
  let closed = false;
  const closing = app.close().then(() => {
    closed = true;
  });
  t.equal(smtp.mails.length, 0, 'the answer came before the server said a word');
  t.notOk(closed);
  smtp.greet();
  await closing;
  t.strictSame(
    smtp.mails.map(({ to }) => to),
    [[EMAIL]],
    'the mail is delivered before the application is closed',
  );
  t.notMatch(lines.join(''), tokenIn(smtp.mails[0]?.text ?? 'no mail'), 'what is sent is not logged');
});

t.test('no token, password or address is logged, whatever becomes of them', async (t) => {
  const smtp = await openSmtpServer(t);
  const { app, lines } = await openLoggedServer(t, database, { environment: mailEnvironment(smtp) });
  const token = await mailedToken(app, smtp, EMAIL);
  const secret = 'canary bird in a coal mine';
  const statuses = [(await resetPassword(app, 'unknown', secret)).statusCode];
  const broken = async (table: string, send: () => ReturnType<typeof askForLink>) => {
    await database.sql(`alter table ${table} add constraint broken check (false) not valid`);
    statuses.push((await send()).statusCode);
    await database.sql(`alter table ${table} drop constraint broken`);
  };
  await broken('private.user_credentials', () => resetPassword(app, token, secret));
  await broken('private.password_resets', () => askForLink(app, EMAIL));
  const current = await mailedToken(app, smtp, EMAIL);
  statuses.push((await resetPassword(app, token, secret)).statusCode);
  statuses.push((await resetPassword(app, current, secret)).statusCode);
  t.strictSame(statuses, [400, 500, 500, 400, 200]);
  const log = lines.join('');
  t.ok(lines.length >= 7, 'a line for each answer at least');
  for (const text of [token, current, secret, EMAIL, '$argon2id$']) t.notMatch(log, text);
  const [row] = await database.sql<{ hash: string }>('select password_hash as hash from private.user_credentials');
  t.match(row?.hash, '$argon2id$');
});

t.test('the embedded set-up prints the mail it cannot send, clearly marked', async (t) => {
  const { app, lines } = await openLoggedServer(t, database, { embedded: true });
  t.equal((await askForLink(app, EMAIL)).statusCode, 202);
  await untilTrue(() => lines.some((line) => line.includes('MAIL NOT SENT')));
  const line = lines.find((text) => text.includes('MAIL NOT SENT')) ?? '{}';
  const printed: { level: number; to: string; subject: string; lines: string[] } = JSON.parse(line);
  t.match(printed, { level: 40, to: EMAIL, subject: /\S/, msg: /SMTP_URL/ });
  const link = printed.lines.find((text) => text.startsWith('http'));
  t.match(link, /^http:\/\/127\.0\.0\.1:3000\/reset-password#token=[\w-]{43}&email=[\w%.-]+$/);
  t.equal((await resetPassword(app, tokenIn(link ?? ''))).statusCode, 200, 'the printed link works');

  const unknown = lines.length;
  t.equal((await askForLink(app, 'nobody@example.com')).statusCode, 202);
  t.notOk(lines.slice(unknown).some((text) => text.includes('#token=')));
});

t.test('the embedded set-up with a mail server prints nothing', async (t) => {
  const smtp = await openSmtpServer(t);
  const { app, lines } = await openLoggedServer(t, database, { environment: mailEnvironment(smtp), embedded: true });
  await askForLink(app, EMAIL);
  await smtp.mail(1);
  t.notMatch(lines.join(''), /NOT SENT|token=/);
});

t.test('any other set-up without a mail server says that there is none', async (t) => {
  const { app } = await openLoggedServer(t, database);
  const answers = [await askForLink(app, EMAIL), await askForLink(app, 'nobody@example.com')];
  for (const answer of answers) {
    t.equal(answer.statusCode, 503);
    t.match(answer.json(), { code: 'MAIL_DISABLED', error: /\S/ });
  }
});

t.end();
