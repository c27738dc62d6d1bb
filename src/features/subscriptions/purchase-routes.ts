import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { accountLimit } from '../../auth/limits/rate-limits.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import type { PaymentServices } from './payments.js';
import { findPurchase } from './purchase.js';
import { FindPurchaseSchema, PurchaseSchema } from './schemas.js';

/** Serves what the page shows that Stripe sends people to once they have paid: they need not be signed in there. */
export const purchaseRoutes: FastifyPluginAsyncTypebox<PaymentServices> = async (app, services) => {
  describeRoutes(app, { tags: ['Subscriptions'] });

  app.post(
    '/subscriptions/purchase',
    {
      onRequest: accountLimit(app),
      schema: {
        operationId: 'findPurchase',
        summary: "Read what was bought on one of Stripe's payment pages, by its id, which only its customer has",
        body: FindPurchaseSchema,
        response: { 200: PurchaseSchema, ...errors(404, 409) },
      },
    },
    (request) => findPurchase(services, request.body.checkout_id),
  );
};
