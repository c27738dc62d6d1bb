import type { Readable } from 'node:stream';
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getCredentialEnd } from '../../auth/guards/user-authentication.js';
import { getUser } from '../../auth/guards/user-guard.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import type { ChangeFeed } from './change-feed.js';

const EVENTS = {
  description: 'Server-sent events: settings with {version}, balance with {allocated, used, reserved, remaining}.',
  content: { 'text/event-stream': { schema: Type.Unsafe<Readable>(Type.String()) } },
};
const LastEventSchema = Type.Object({
  'last-event-id': Type.Optional(
    Type.String({
      maxLength: 1_000,
      description: 'The id of the last event received; changes since then are sent at once.',
    }),
  ),
});

/** Serves changes as they happen: `GET /sync/stream`. */
export const syncStreamRoutes: FastifyPluginAsyncTypebox<{ changeFeed: ChangeFeed }> = async (app, { changeFeed }) => {
  describeRoutes(app, { tags: ['Settings'] });

  app.get(
    '/sync/stream',
    {
      // HEAD would wait for an end that never comes.
      exposeHeadRoute: false,
      schema: {
        operationId: 'streamChanges',
        summary: 'Stream changes to the settings and the balance, within a second',
        headers: LastEventSchema,
        response: { 200: EVENTS },
      },
    },
    async (request, reply) => {
      const lastEventId = request.headers['last-event-id'];
      const events = await changeFeed.listen(getUser(request), lastEventId, getCredentialEnd(app, request));
      return reply
        .type('text/event-stream; charset=utf-8')
        .headers({ 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no', connection: 'close' })
        .send(events);
    },
  );
};
