import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import type { Static } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { getUser } from '../../auth/guards/user-guard.js';
import { accountLimit } from '../../auth/limits/rate-limits.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { changeTier, endSubscription } from './change.js';
import { beginCheckout, openPortal } from './checkout.js';
import type { PaymentServices } from './payments.js';
import { createOffers } from './plans.js';
import {
  CheckoutSchema,
  ChooseTierSchema,
  EndSubscriptionQuerySchema,
  PlanSchema,
  PlansSchema,
  PortalSchema,
  SubscriptionSchema,
} from './schemas.js';

const PlanListSchema = Type.Array(PlanSchema);

interface SubscriptionRoutesOptions extends PaymentServices {
  readonly callerDatabase: CallerDatabase;
}

/** Serves a person's subscription to them; the scope it is registered in must guard it. */
export const subscriptionRoutes: FastifyPluginAsyncTypebox<SubscriptionRoutesOptions> = async (app, services) => {
  describeRoutes(app, { tags: ['Subscriptions'] });
  const readSubscription = async (request: FastifyRequest): Promise<Static<typeof SubscriptionSchema>> =>
    services.callerDatabase.call(getUser(request), 'my_subscription', {}, SubscriptionSchema);

  app.get(
    '/subscriptions',
    {
      schema: {
        operationId: 'getSubscription',
        summary: 'Read the tier in force, the subscription behind it, and its usage',
        response: { 200: SubscriptionSchema },
      },
    },
    readSubscription,
  );

  const offer = createOffers(services.payments);
  app.get(
    '/subscriptions/plans',
    {
      schema: {
        operationId: 'listPlans',
        summary: 'List the tiers, what each is worth, and what it costs',
        response: { 200: PlansSchema },
      },
    },
    async (request) => ({
      plans: await offer(await services.callerDatabase.call(getUser(request), 'my_plans', {}, PlanListSchema)),
    }),
  );

  app.post(
    '/subscriptions',
    {
      onRequest: accountLimit(app),
      schema: {
        operationId: 'beginSubscription',
        takesIdempotencyKey: true,
        summary: "Begin a subscription; returns the URL of Stripe's payment page",
        body: ChooseTierSchema,
        response: { 201: CheckoutSchema, ...errors(402, 409, 422) },
      },
    },
    async (request, reply) => {
      const checkout_url = await beginCheckout(services, request, request.body.tier);
      reply.code(201);
      return { checkout_url };
    },
  );

  app.put(
    '/subscriptions',
    {
      onRequest: accountLimit(app),
      schema: {
        operationId: 'changeSubscription',
        takesIdempotencyKey: true,
        summary: 'Change the tier of a running subscription, with proration, and keep it from ending',
        body: ChooseTierSchema,
        response: { 200: SubscriptionSchema, ...errors(402, 404, 409, 422) },
      },
    },
    async (request) => {
      await changeTier(services, request, request.body.tier);
      return readSubscription(request);
    },
  );

  app.delete(
    '/subscriptions',
    {
      onRequest: accountLimit(app),
      schema: {
        operationId: 'endSubscription',
        takesIdempotencyKey: true,
        summary: 'End the subscription with the paid period, or at once',
        querystring: EndSubscriptionQuerySchema,
        response: { 200: SubscriptionSchema, ...errors(404, 409) },
      },
    },
    async (request) => {
      await endSubscription(services, request, request.query.now);
      return readSubscription(request);
    },
  );

  app.post(
    '/subscriptions/portal',
    {
      onRequest: accountLimit(app),
      schema: {
        operationId: 'openBillingPortal',
        takesIdempotencyKey: true,
        summary: "Open Stripe's page for invoices, payment methods and cancelling; returns its URL",
        response: { 201: PortalSchema, ...errors(404) },
      },
    },
    async (request, reply) => {
      const portal_url = await openPortal(services, request);
      reply.code(201);
      return { portal_url };
    },
  );
};
