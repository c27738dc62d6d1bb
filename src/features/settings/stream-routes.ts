import type { Readable } from 'node:stream';
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { credentialEnd, requireUser, userOf } from '../../auth/guards/user-guard.js';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';

const EVENTS = {
  description: 'Server-sent events: settings with {version}, balance with {allocated, used, reserved, remaining}.',
  content: { 'text/event-stream': { schema: Type.Unsafe<Readable>(Type.String()) } },
};
const LastEventSchema = Type.Object({
  'last-event-id': Type.Optional(
    Type.String({
      maxLength: 1_000,
      description: 'The id of the last event that arrived; what changed since comes at once.',
    }),
  ),
});

/** Changes as they happen: `GET /sync/stream`. */
export const syncStreamRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  requireUser(app, services);
  const { changeFeed } = services;

  app.get(
    '/sync/stream',
    {
      // HEAD would wait for an end that does not come.
      exposeHeadRoute: false,
      schema: {
        tags: ['Sync'],
        security: [{ userToken: [] }],
        summary: 'Tells of newer settings and of changes of the balance, within a second',
        headers: LastEventSchema,
        response: { 200: EVENTS, ...errors(400, 401) },
      },
    },
    async (request, reply) => {
      const lastEventId = request.headers['last-event-id'];
      const events = await changeFeed.listen(userOf(request), lastEventId, credentialEnd(app, request));
      return reply
        .type('text/event-stream; charset=utf-8')
        .headers({ 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no', connection: 'close' })
        .send(events);
    },
  );
};
