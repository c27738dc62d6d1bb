import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';

/** Longest time a client may take nothing of a file or stream that waits for it, in milliseconds. */
const STALL_LIMIT_MS = 120_000;

interface StalledReadersOptions {
  readonly limitMs?: number;
}

const stalledReaders: FastifyPluginAsync<StalledReadersOptions> = async (app, { limitMs = STALL_LIMIT_MS }) => {
  app.addHook('onSend', async (request, _reply, payload) => {
    const { socket } = request.raw;
    // Node ends a connection on which nothing moves for as long, and forgets this with the answer.
    if (payload instanceof Readable && socket instanceof Socket) socket.setTimeout(limitMs);
    return payload;
  });
};

/**
 * Ends answers that are read no further: whoever asks for files and never takes them would keep a page of each in memory, and
 * its connection, for ever.
 */
export default fp(stalledReaders, { name: 'stalled-readers' });
