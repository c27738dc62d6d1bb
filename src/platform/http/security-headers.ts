import type { FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';

/** How long browsers keep to HTTPS, in seconds: a year. */
const HSTS = 'max-age=31536000';

const securityHeaders: FastifyPluginAsync<{ publicUrl: string }> = async (app, { publicUrl }) => {
  const isPublicHttps = publicUrl.startsWith('https:');
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-content-type-options', 'nosniff');
    if (isPublicHttps || request.protocol === 'https') reply.header('strict-transport-security', HSTS);
    const { config, url } = request.routeOptions;
    // Answers hold tokens and what is personal; routes that know better say so themselves.
    if (config.isApi === true || url === undefined) reply.header('cache-control', 'no-store');
    done();
  });
};

/** Keeps browsers from guessing types, caches from keeping answers, and browsers behind HTTPS from leaving it. */
export default fp(securityHeaders, { name: 'security-headers' });
