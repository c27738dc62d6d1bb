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
 * Starts a mail server that neither encrypts nor asks for a login; it ends with the test.
 *
 * @param options.silent it accepts connections but does not greet until told to
 * @param options.refusal what to reply instead to a `MAIL` or `RCPT` of the client, or undefined to go on
 */
export async function openSmtpServer(
  t: Test,
  options: { readonly silent?: boolean; readonly refusal?: (line: string) => string | undefined } = {},
): Promise<SmtpServer> {
  const { refusal = () => undefined } = options;
  const mails: ReceivedMail[] = [];
  const waiting: (() => void)[] = [];
  let silent = options.silent ?? false;
  let connections = 0;
  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
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
    url: `smtp://127.0.0.1:${port}`,
    mails,
    connections: () => connections,
    greet: () => {
      silent = false;
      for (const greet of waiting.splice(0)) greet();
    },
    mail: (n) => until(`mail ${n} arrives`, () => mails[n - 1]),
    close,
  };
}
