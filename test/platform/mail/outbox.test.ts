import { createSmtpMailer } from '../../../src/platform/mail/mailer.js';
import { openOutbox } from '../../../src/platform/mail/outbox.js';
import { openSmtpServer, type SmtpServer } from '../../helpers/fakes/smtp-server.js';
import { keepingLogger } from '../../helpers/http/log-lines.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const EMAIL = 'somebody@example.com';
const message = { to: EMAIL, subject: 'Hello', text: 'Hello\n', html: '<p>Hello</p>' };

/** An outbox over a mail server that is impatient, and what it logs. */
function openTestOutbox(smtp: SmtpServer, closeLimit = 10_000) {
  const { lines, logger } = keepingLogger();
  const mailer = createSmtpMailer({ smtpUrl: smtp.url, from: 'noreply@tokens.example' });
  return { lines, outbox: openOutbox(mailer, logger, { retryDelays: [1, 1], closeLimit }) };
}

t.test('a mail server that is busy is asked again, twice', async (t) => {
  let attempts = 0;
  const refusal = (line: string) => {
    if (!line.startsWith('RCPT')) return undefined;
    attempts += 1;
    return attempts < 3 ? `451 <${EMAIL}> is busy` : undefined;
  };
  const smtp = await openSmtpServer(t, { refusal });
  const { lines, outbox } = openTestOutbox(smtp);
  outbox.post(message);
  await outbox.close();
  t.equal(attempts, 3);
  t.equal(smtp.mails.length, 1);
  const logged = lines.map((line): unknown => JSON.parse(line));
  t.match(logged, [
    { msg: 'mail failed; trying again', attempt: 1, failure: { code: 'EENVELOPE', responseCode: 451 } },
    { msg: 'mail failed; trying again', attempt: 2 },
  ]);
  t.equal(logged.length, 2);
  t.notMatch(lines.join(''), EMAIL, 'what the server said of the address is not logged');
});

t.test('after the third failure the mail is given up', async (t) => {
  const smtp = await openSmtpServer(t, { refusal: (line) => (line.startsWith('MAIL') ? '451 busy' : undefined) });
  const { lines, outbox } = openTestOutbox(smtp);
  outbox.post(message);
  await outbox.close();
  t.equal(smtp.connections(), 3);
  t.strictSame(
    lines.map((line) => JSON.parse(line).msg),
    ['mail failed; trying again', 'mail failed; trying again', 'mail given up'],
  );
});

t.test('what is refused for good is not tried again', async (t) => {
  const refusal = (line: string) => (line.startsWith('RCPT') ? `550 no <${EMAIL}> here` : undefined);
  const smtp = await openSmtpServer(t, { refusal });
  const { lines, outbox } = openTestOutbox(smtp);
  outbox.post(message);
  await outbox.close();
  t.equal(smtp.connections(), 1);
  t.match(JSON.parse(lines[0] ?? ''), { msg: 'mail given up', failure: { responseCode: 550, command: 'RCPT TO' } });
  t.notMatch(lines.join(''), EMAIL);
});

t.test('many mails go out a few at a time, and one that fails holds up no other', async (t) => {
  const refusal = (line: string) => (/^RCPT.*bad/.test(line) ? '550 no' : undefined);
  const smtp = await openSmtpServer(t, { silent: true, refusal });
  const { outbox } = openTestOutbox(smtp);
  for (let n = 0; n < 40; n += 1) outbox.post({ ...message, to: `${n % 4 === 0 ? 'bad' : 'good'}${n}@example.com` });
  await untilTrue(() => smtp.connections() === 5);
  smtp.greet();
  await outbox.close();
  t.equal(smtp.connections(), 40);
  t.equal(smtp.mails.length, 30);
});

t.test('closing gives up what a mail server keeps waiting', async (t) => {
  const smtp = await openSmtpServer(t, { silent: true });
  const { lines, outbox } = openTestOutbox(smtp, 1);
  for (let n = 0; n < 10; n += 1) outbox.post(message);
  await outbox.close();
  t.equal(lines.filter((line) => line.includes('mail given up')).length, 10);
  t.equal(smtp.mails.length, 0);
});

t.test('more mails than can wait are given up', async (t) => {
  const smtp = await openSmtpServer(t, { silent: true });
  const { lines, outbox } = openTestOutbox(smtp, 1);
  for (let n = 0; n < 1_200; n += 1) outbox.post(message);
  const refused = lines.filter((line) => line.includes('too many'));
  t.equal(refused.length, 1_200 - 1_000);
  await outbox.close();
});
