import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import { handleEvent } from './handle-event.js';
import { paymentsOf } from './payments.js';
import { ReceivedEventSchema } from './schemas.js';
import { verifiedEvent } from './webhook-event.js';

const BODY_LIMIT_BYTES = 1024 * 1024;

/** `POST /subscriptions/webhook`, called by Stripe. In a scope of its own, as the signature is of the body's very bytes. */
export const webhookRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  app.post(
    '/subscriptions/webhook',
    {
      bodyLimit: BODY_LIMIT_BYTES,
      onRequest: async () => {
        paymentsOf(services);
      },
      schema: {
        tags: ['Subscriptions'],
        summary: "Where Stripe sends its events, signed with the endpoint's secret",
        response: { 200: ReceivedEventSchema, ...errors(400, 413, 415) },
      },
    },
    async (request) => {
      const payments = paymentsOf(services);
      const event = verifiedEvent(payments, request.headers['stripe-signature'], request.body);
      const outcome = await handleEvent(services.database, payments, event);
      request.log.info({ event: event.id, type: event.type, outcome }, 'payment event');
      return { received: true as const };
    },
  );
};
