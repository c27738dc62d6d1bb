import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Stage } from '../stage.js';
import type { Actor } from './actor.js';

/** How long each of them takes to make up their mind, in milliseconds, as passwords are costly to hash. */
const PAUSE_MS = 300;

/** Opens people who register and wait for the mail that proves their address. */
export function openNewcomers({ client, journal, mail, postgres }: Stage): Actor {
  const registered = new Set<string>();
  return {
    name: 'newcomers',
    atOnce: 1,
    act: async (random) => {
      await delay(random.below(PAUSE_MS));
      const body = { email: `${randomUUID()}@example.com`, password: randomUUID() };
      const { status, text } = await client.untilAnswered({ method: 'POST', path: '/auth/register', body });
      // Taken by the same request, whose answer was lost.
      if (status === 201 || status === 409) registered.add(body.email);
      else journal.violate(`registering: ${status} ${text}`);
    },
    summarize: () => `${registered.size} registrations, ${mail.received.size} addresses were sent mail`,
    check: async () => {
      const waiting = await postgres.sql<{ recipient: string }>(
        'select recipient from private.mails where recipient is not null',
      );
      const known = new Set([...mail.received.keys(), ...waiting.map(({ recipient }) => recipient)]);
      return [...registered]
        .filter((email) => !known.has(email))
        .map((email) => `${email} was registered, but its mail was neither sent nor waits`);
    },
  };
}
