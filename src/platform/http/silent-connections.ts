import type { Socket } from 'node:net';
import type { FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';

/** How often connections are looked for that were opened while the server was closing already. */
const POLL_INTERVAL_MS = 50;

const silentConnections: FastifyPluginAsync = async (app) => {
  const open = new Set<Socket>();
  app.server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });

  const endSilent = () => {
    for (const socket of open) if (socket.bytesRead === 0) socket.destroy();
  };
  app.addHook('preClose', async () => {
    endSilent();
    if (!app.server.listening) return;
    const timer = setInterval(endSilent, POLL_INTERVAL_MS);
    app.server.once('close', () => clearInterval(timer));
  });
};

/**
 * Has the server end connections that were opened and never used when it closes. Browsers and connection pools open one
 * in advance; Node takes it for one whose request is on its way, and waits for that until it is overdue.
 */
export default fp(silentConnections, { name: 'silent-connections' });
