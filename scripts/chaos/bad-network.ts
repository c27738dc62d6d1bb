import { once } from 'node:events';
import { createServer, connect as openConnection, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from './random.js';

/** A bad network: passes connections on, and spoils them when it is told to. */
export interface BadNetwork {
  readonly port: number;
  /** Ends a share of the connections, in the middle of whatever they carry. */
  readonly cut: (random: Random, share: number) => void;
  /** Holds back what is sent, in both directions, for so many milliseconds. */
  readonly setDelay: (milliseconds: number) => void;
  /** Throws answers away, while requests still arrive; the connections that lost some end when it is turned off. */
  readonly setLosingAnswers: (losing: boolean) => void;
  readonly close: () => Promise<void>;
}

/**
 * Opens a proxy on loopback.
 * @param findTarget returns the port to connect to, each time anew
 */
export async function openProxy(findTarget: () => number): Promise<BadNetwork> {
  const open = new Set<{ readonly end: () => void; lost: boolean }>();
  let wait = 0;
  let losing = false;

  const carry = (from: Socket, to: Socket, isDropped: () => boolean) => {
    let sent: Promise<unknown> = Promise.resolve();
    from.on('data', (chunk: Buffer) => {
      if (isDropped()) return;
      // One after the other, so that a shorter delay overtakes nothing.
      const due = performance.now() + wait;
      const hold = () => (due > performance.now() ? delay(due - performance.now()) : undefined);
      sent = sent.then(hold).then(() => to.writable && to.write(chunk));
    });
    from.on('end', () => void sent.then(() => to.end()));
  };

  const server = createServer({ noDelay: true, allowHalfOpen: true }, (near) => {
    const far = openConnection({ port: findTarget(), host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    const connection = {
      lost: false,
      end: () => {
        near.destroy();
        far.destroy();
        open.delete(connection);
      },
    };
    open.add(connection);
    carry(near, far, () => false);
    carry(far, near, () => {
      connection.lost ||= losing;
      return connection.lost;
    });
    for (const socket of [near, far]) socket.on('error', connection.end).on('close', connection.end);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');

  return {
    port: address.port,
    cut: (random, share) => {
      for (const connection of [...open]) if (random.chance(share)) connection.end();
    },
    setDelay: (milliseconds) => {
      wait = milliseconds;
    },
    setLosingAnswers: (next) => {
      losing = next;
      if (!next) for (const connection of [...open]) if (connection.lost) connection.end();
    },
    close: async () => {
      for (const connection of [...open]) connection.end();
      server.close();
      await once(server, 'close');
    },
  };
}
