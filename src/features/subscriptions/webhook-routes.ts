import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { handleEvent } from './handle-event.js';
import { type PaymentServices, requirePayments, UNKNOWN_PRICES } from './payments.js';
import { ReceivedEventSchema } from './schemas.js';
import { findUnknownPrices } from './stripe-objects.js';
import { verifyEvent } from './webhook-event.js';

const BODY_LIMIT_BYTES = 1024 * 1024;

/** Serves `POST /subscriptions/webhook` to Stripe, in its own scope, as the signature covers the raw bytes of the body. */
export const webhookRoutes: FastifyPluginAsyncTypebox<PaymentServices> = async (app, services) => {
  describeRoutes(app, { tags: ['Webhooks'] });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  app.post(
    '/subscriptions/webhook',
    {
      bodyLimit: BODY_LIMIT_BYTES,
      onRequest: async () => {
        requirePayments(services);
      },
      schema: {
        operationId: 'receiveStripeEvent',
        summary: "Receive an event of Stripe's, signed with the endpoint's secret",
        response: { 200: ReceivedEventSchema },
      },
    },
    async (request) => {
      const payments = requirePayments(services);
      const event = verifyEvent(payments, request.headers['stripe-signature'], request.body);
      const outcome = await handleEvent(services.database, payments, event);
      const prices = outcome === 'unknown_customer' ? [] : findUnknownPrices(event.data.object, payments);
      if (prices.length > 0) request.log.warn({ event: event.id, prices }, UNKNOWN_PRICES);
      request.log.info({ event: event.id, type: event.type, outcome }, 'payment event');
      return { received: true as const };
    },
  );
};
