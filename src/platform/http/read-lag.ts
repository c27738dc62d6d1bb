import type { FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import type { ReadDatabase } from '../database/replica/read-database.js';

/** Methods that write nothing. */
const READING: readonly string[] = ['GET', 'HEAD', 'OPTIONS'];

/** Tells clients how old what they read may be, and remembers who wrote. */
const readLag: FastifyPluginAsync<{ reads: ReadDatabase }> = async (app, { reads }) => {
  if (reads.source() === undefined) return;
  app.addHook('onSend', async (request, reply) => {
    // Before the answer is on its way: whoever has it may ask at once.
    if (!READING.includes(request.method)) reads.noteWrite(request);
    const lag = reads.findLag(request);
    if (lag !== undefined) reply.header('x-read-lag-ms', Math.ceil(lag));
  });
};

export default fp(readLag, { name: 'read-lag' });
