import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Stage } from '../stage.js';
import type { Actor } from './actor.js';

/** How long each of them takes to make up their mind, in milliseconds, as passwords are costly to hash. */
const PAUSE_MS = 300;

/** Opens people who register, forget their password at once and wait for the mail with the link. */
export function openNewcomers({ client, journal, mail, postgres }: Stage): Actor {
  const promised = new Set<string>();
  return {
    name: 'newcomers',
    atOnce: 1,
    act: async (random) => {
      await delay(random.below(PAUSE_MS));
      const [email, password] = [`${randomUUID()}@example.com`, randomUUID()];
      const body = { email, password };
      const registered = await client.untilAnswered({ method: 'POST', path: '/auth/register', body });
      // Taken by the same request, whose answer was lost.
      if (registered.status !== 201 && registered.status !== 409) {
        journal.violate(`registering: ${registered.status} ${registered.text}`);
        return;
      }
      const { status, text } = await client.untilAnswered({
        method: 'POST',
        path: '/auth/forgot-password',
        body: { email },
      });
      if (status === 202) promised.add(email);
      else journal.violate(`forgetting a password: ${status} ${text}`);
    },
    summarize: () => `${promised.size} mails promised, ${mail.received.size} addresses were sent one`,
    check: async () => {
      const waiting = await postgres.sql<{ recipient: string }>(
        'select recipient from private.mails where recipient is not null',
      );
      const known = new Set([...mail.received.keys(), ...waiting.map(({ recipient }) => recipient)]);
      return [...promised]
        .filter((email) => !known.has(email))
        .map((email) => `${email} was promised a mail, which was neither sent nor waits`);
    },
  };
}
