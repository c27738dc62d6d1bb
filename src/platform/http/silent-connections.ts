import type { Socket } from 'node:net';
import type { FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';

/** How often connections are looked for that were opened while the server was closing already. */
const POLL_INTERVAL_MS = 50;
/** How long the first request of a connection may be on its way: one that was just opened is not ended under it. */
const PATIENCE_MS = 2_000;

const silentConnections: FastifyPluginAsync = async (app) => {
  /** When each connection was opened. */
  const open = new Map<Socket, number>();
  app.server.on('connection', (socket: Socket) => {
    open.set(socket, performance.now());
    socket.once('close', () => open.delete(socket));
  });

  const endSilent = () => {
    const latest = performance.now() - PATIENCE_MS;
    for (const [socket, openedAt] of open) if (socket.bytesRead === 0 && openedAt < latest) socket.destroy();
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
