import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import PostalMime from 'postal-mime';
import { SMTPServer } from 'smtp-server';

/** Everybody's mail. */
export interface Mailbox {
  readonly url: string;
  /** Waits for the newest link of a kind that was mailed to an address. @returns its token; undefined where none comes */
  readonly findToken: (address: string, page: string) => Promise<string | undefined>;
  readonly close: () => Promise<void>;
}

const WAIT_MS = 5_000;

/** Starts a mail server that keeps the links it is sent. */
export async function openMailbox(): Promise<Mailbox> {
  const tokens = new Map<string, string>();
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    onData: async (stream, session, done) => {
      const { text = '' } = await PostalMime.parse(await buffer(stream));
      const [, page, token] = /\/([\w-]+)#token=([\w.-]+)/.exec(text) ?? [];
      for (const { address } of session.envelope.rcptTo)
        if (token !== undefined) tokens.set(`${address} ${page}`, token);
      done();
    },
  });
  server.on('error', () => {});
  const listening = server.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const address = listening.address();
  if (address === null || typeof address === 'string') throw new Error('the mail server has no port');
  return {
    url: `smtp://127.0.0.1:${address.port}`,
    findToken: async (recipient, page) => {
      const key = `${recipient} ${page}`;
      for (const end = performance.now() + WAIT_MS; performance.now() < end; await delay(20)) {
        const token = tokens.get(key);
        if (token !== undefined) return token;
      }
      return undefined;
    },
    close: () => new Promise((closed) => server.close(() => closed())),
  };
}
