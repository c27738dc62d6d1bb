import type { FastifyPluginAsync } from 'fastify';
import { requireUser } from '../../auth/guards/user-guard.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import { paymentRoutes } from './payment-routes.js';
import type { Payments } from './payments.js';
import { purchaseRoutes } from './purchase-routes.js';
import { subscriptionRoutes } from './subscription-routes.js';
import { webhookRoutes } from './webhook-routes.js';

/** Dependencies of the subscription routes. */
export interface SubscriptionsOptions {
  readonly database: Database;
  readonly callerDatabase: CallerDatabase;
  /** Stripe; undefined if it is not set up. */
  readonly payments: Payments | undefined;
}

/** Serves contract 5, subscriptions: plans paid at Stripe, and the tokens they grant. */
export const subscriptions: FastifyPluginAsync<SubscriptionsOptions> = async (app, options) => {
  await app.register(async (scope) => {
    requireUser(scope, 'account');
    await scope.register(subscriptionRoutes, options);
    await scope.register(paymentRoutes, options);
  });
  await app.register(purchaseRoutes, options);
  await app.register(webhookRoutes, options);
};
