import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import PostalMime from 'postal-mime';
import { SMTPServer } from 'smtp-server';
import type { Test } from 'tap';
import { until } from '../until.js';

/** A mail as it arrived. */
export interface ReceivedMail {
  /** Sender and recipients of the envelope. */
  readonly from: string;
  readonly to: readonly string[];
  /** Headers of the whole message, names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly text: string;
  readonly html: string;
}

/** A mail server on loopback that keeps what it is given. */
export interface SmtpServer {
  readonly url: string;
  readonly mails: readonly ReceivedMail[];
  /** The names that logged in, each over an encrypted connection or not. */
  readonly logins: readonly { readonly user: string | undefined; readonly encrypted: boolean }[];
  /** Connections made so far. */
  readonly connections: () => number;
  /** Greets those who wait for it, and everybody from now on. */
  readonly greet: () => void;
  /** Waits for the n-th mail. */
  readonly mail: (n: number) => Promise<ReceivedMail>;
  /** Ends every connection and takes no more. */
  readonly close: () => Promise<void>;
}

/** Turns a reply such as `451 busy` into the error that makes the server give it; undefined goes on. */
function toError(reply: string | undefined): Error | undefined {
  if (reply === undefined) return undefined;
  const [, code, text] = /^(\d{3}) (.*)$/.exec(reply) ?? [];
  return Object.assign(new Error(text), { responseCode: Number(code) });
}

/**
 * Starts a mail server, which neither encrypts nor takes a login unless it is told to; it ends with the test.
 *
 * @param options.silent it accepts connections but does not greet until told to
 * @param options.encryption it encrypts, after STARTTLS or from the start, with a certificate nobody trusts, and takes any login
 * @param options.refusal what to reply instead to a `MAIL` or `RCPT` of the client, or undefined to go on
 */
export async function openSmtpServer(
  t: Test,
  options: {
    readonly silent?: boolean;
    readonly encryption?: 'starttls' | 'implicit';
    readonly refusal?: (line: string) => string | undefined;
  } = {},
): Promise<SmtpServer> {
  const { refusal = () => undefined } = options;
  const mails: ReceivedMail[] = [];
  const logins: { user: string | undefined; encrypted: boolean }[] = [];
  const waiting: (() => void)[] = [];
  let silent = options.silent ?? false;
  let connections = 0;
  const server = new SMTPServer({
    secure: options.encryption === 'implicit',
    disabledCommands: options.encryption === undefined ? ['AUTH', 'STARTTLS'] : [],
    authOptional: true,
    onAuth: ({ username }, { secure }, done) => {
      logins.push({ user: username, encrypted: secure });
      done(null, { user: username });
    },
    disableReverseLookup: true,
    closeTimeout: 1,
    onConnect: (_session, done) => {
      if (silent) waiting.push(done);
      else done();
    },
    onMailFrom: ({ address }, _session, done) => done(toError(refusal(`MAIL FROM:<${address}>`))),
    onRcptTo: ({ address }, _session, done) => done(toError(refusal(`RCPT TO:<${address}>`))),
    onData: (stream, { envelope }, done) => {
      const keep = async () => {
        const { headers, text = '', html = '' } = await PostalMime.parse(await buffer(stream));
        mails.push({
          from: envelope.mailFrom === false ? '' : envelope.mailFrom.address,
          to: envelope.rcptTo.map(({ address }) => address),
          headers: new Map(headers.map(({ key, value }) => [key, value])),
          text,
          html,
        });
      };
      keep().then(() => done(), done);
    },
  });
  // A client that gives up is no error of the test.
  server.on('error', () => {});
  server.server.on('connection', () => {
    connections += 1;
  });
  server.listen(0, '127.0.0.1');
  await once(server.server, 'listening');
  const address = server.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const close = async () => {
    if (server.server.listening) await new Promise<void>((closed) => server.close(closed));
  };
  t.after(close);
  return {
    url: `${options.encryption === 'implicit' ? 'smtps' : 'smtp'}://127.0.0.1:${port}`,
    mails,
    logins,
    connections: () => connections,
    greet: () => {
      silent = false;
      for (const greet of waiting.splice(0)) greet();
    },
    mail: (n) => until(`mail ${n} arrives`, () => mails[n - 1]),
    close,
  };
}
