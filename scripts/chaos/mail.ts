import { once } from 'node:events';
import { SMTPServer } from 'smtp-server';
import type { Random } from './random.js';

/** A mail server that is now and then too busy. */
export interface MailStandIn {
  readonly environment: Readonly<Record<string, string>>;
  /** How many mails each address was sent. */
  readonly received: ReadonlyMap<string, number>;
  readonly close: () => Promise<void>;
}

/** Starts the stand-in. */
export async function openMail(random: Random): Promise<MailStandIn> {
  const received = new Map<string, number>();
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    onMailFrom: (_address, _session, done) =>
      done(random.chance(0.1) ? Object.assign(new Error('busy'), { responseCode: 451 }) : null),
    onData: (stream, session, done) => {
      stream.resume().on('end', () => {
        for (const { address } of session.envelope.rcptTo) received.set(address, (received.get(address) ?? 0) + 1);
        done();
      });
    },
  });
  // A server that was killed in the middle of a mail.
  server.on('error', () => {});
  const listening = server.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const address = listening.address();
  if (address === null || typeof address === 'string') throw new Error('the mail server has no port');
  return {
    environment: {
      SMTP_URL: `smtp://127.0.0.1:${address.port}`,
      FROM_EMAIL: 'chaos@example.com',
      PUBLIC_URL: 'https://chaos.example.com',
    },
    received,
    close: () => new Promise((closed) => server.close(() => closed())),
  };
}
