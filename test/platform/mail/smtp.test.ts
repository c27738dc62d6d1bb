import { createResetMessage } from '../../../src/auth/password-reset/message.js';
import { parseConfig } from '../../../src/config/config.js';
import { createMailer } from '../../../src/platform/mail/create-mailer.js';
import { createSmtpMailer, toSmtpOptions } from '../../../src/platform/mail/smtp.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { keepingLogger } from '../../helpers/http/log-lines.js';
import t from '../../helpers/run/tap.js';

const from = 'noreply@tokens.example';
const id = '6d5d2d5e-1f0c-4b5e-9d5b-0d2a4c6e8f10';
const message = {
  id,
  to: 'somebody@example.com',
  subject: 'Grüße',
  text: 'Hello\n.\nlast line\n',
  html: '<p>Grüße</p>',
};
const signal = new AbortController().signal;

t.test('both versions of a mail arrive as they are, with the configured sender', async (t) => {
  const smtp = await openSmtpServer(t);
  await createSmtpMailer({ smtpUrl: smtp.url, from }).send(message, signal);
  const mail = await smtp.mail(1);
  t.match({ from: mail.from, to: mail.to }, { from, to: [message.to] });
  t.equal(mail.text.replaceAll('\r\n', '\n').trimEnd(), message.text.trimEnd());
  t.equal(mail.html.trimEnd(), message.html);
  t.match(mail.headers.get('content-type'), /^multipart\/alternative/);
  t.equal(mail.headers.get('message-id'), `<${id}@tokens.example>`, 'sent twice, it is one mail');
});

t.test('an address is one recipient and no header, whatever it is made of', async (t) => {
  const smtp = await openSmtpServer(t);
  const mailer = createSmtpMailer({ smtpUrl: smtp.url, from });
  const addresses = [
    'a,victim@example.com',
    'a;b@example.com',
    'a@example.com\r\nBcc: victim@example.org',
    'a@example.com\nX-Evil: 1',
    'a@example.com> RCPT TO:<victim@example.org',
    '"quoted" <victim@example.org>@example.com',
    'group:victim@example.org;@example.com',
  ];
  for (const to of addresses) await mailer.send({ ...message, to }, signal).catch(() => {});
  await mailer.send({ ...message, subject: 'Hi\r\nBcc: victim@example.org' }, signal);
  t.ok(smtp.mails.length > 0);
  for (const mail of smtp.mails) {
    t.equal(mail.to.length, 1);
    t.not(mail.to[0], 'victim@example.org');
    t.notOk(mail.headers.has('bcc') || mail.headers.has('x-evil'));
  }
});

t.test('what stands in a link is escaped in HTML', async (t) => {
  const { html, text } = createResetMessage(
    `https://x.example/?a=1&b="><script>alert('1')</script>`,
    'abc',
    'ada@example.com',
  );
  t.notMatch(html, '<script>');
  t.match(html, 'href="https://x.example/?a=1&amp;b=&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;');
  t.match(text, `b="><script>`, 'text is text');
});

t.test('a login goes to another machine only encrypted, unless the URL says otherwise', async (t) => {
  const demanded = (smtpUrl: string) => {
    const options = toSmtpOptions({ smtpUrl });
    return 'requireTLS' in options;
  };
  t.ok(demanded('smtp://user:secret@mail.example'));
  t.ok(demanded('smtp://user:secret@127.0.0.1.evil.example'));
  for (const url of [
    'smtp://user:secret@mail.example:587?requireTLS=false',
    'smtp://user:secret@127.0.0.1:25',
    'smtp://user:secret@[::1]:25',
    'smtp://user:secret@localhost',
    'smtp://mail.internal:25',
    'smtps://user:secret@mail.example',
  ]) {
    t.notOk(demanded(url), url);
  }
});

t.test('encryption that is demanded and not offered ends the attempt before anything is said', async (t) => {
  const smtp = await openSmtpServer(t);
  const mailer = createSmtpMailer({ smtpUrl: `${smtp.url}?requireTLS=true`, from });
  const failure = await mailer.send(message, signal).catch((error: unknown) => error);
  t.match(failure, { details: { code: 'ETLS' }, isRefused: false });
  t.equal(smtp.mails.length, 0);
});

for (const encryption of ['starttls', 'implicit'] as const) {
  t.test(
    `with ${encryption} encryption on any port, a login goes only to a server whose certificate is good`,
    async (t) => {
      const smtp = await openSmtpServer(t, { encryption });
      const url = `${smtp.url.replace('://', '://mailer:secret@')}?requireTLS=true`;
      const strict = createSmtpMailer({ smtpUrl: url, from });
      t.match(await strict.send(message, signal).catch((error: unknown) => error), { isRefused: false });
      t.strictSame(smtp.logins, []);
      await createSmtpMailer({ smtpUrl: `${url}&tls.rejectUnauthorized=false`, from }).send(message, signal);
      t.strictSame((await smtp.mail(1)).to, [message.to]);
      t.strictSame(smtp.logins, [{ user: 'mailer', encrypted: true }]);
    },
  );
}

t.test('without a mail server there is a mailer only where Postgres came with the server', async (t) => {
  const { logger } = keepingLogger();
  const config = parseConfig({}).mail;
  t.equal(createMailer(config, false, logger), undefined);
  t.type(createMailer(config, true, logger)?.send, 'function');
});
