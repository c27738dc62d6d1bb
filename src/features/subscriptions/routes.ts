import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Static } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { requireUser, userOf } from '../../auth/guards/user-guard.js';
import { accountLimit } from '../../auth/limits/rate-limits.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import { changeTier, endSubscription } from './change.js';
import { beginCheckout, openPortal } from './checkout.js';
import {
  CheckoutSchema,
  ChooseTierSchema,
  EndSubscriptionQuerySchema,
  PortalSchema,
  SubscriptionSchema,
} from './schemas.js';

const tags = ['Subscriptions'];
const security = [{ userToken: [] }];
const subscriptionOf = shapeOf(SubscriptionSchema);

/** A person's subscription: `GET`, `POST`, `PUT` and `DELETE /subscriptions`, `POST /subscriptions/portal`. */
export const subscriptionRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  requireUser(app, services);
  const mySubscription = async (request: FastifyRequest): Promise<Static<typeof SubscriptionSchema>> =>
    subscriptionOf(await services.userDatabase.call(userOf(request), (database) => database.rpc('my_subscription')));

  app.get(
    '/subscriptions',
    {
      schema: {
        tags,
        security,
        summary: 'The tier in force, the subscription behind it, and what was used of it',
        response: { 200: SubscriptionSchema, ...errors(401) },
      },
    },
    mySubscription,
  );

  app.post(
    '/subscriptions',
    {
      onRequest: accountLimit(app),
      schema: {
        tags,
        security,
        summary: "Begin a subscription: answers the address of Stripe's page to pay on",
        body: ChooseTierSchema,
        response: { 201: CheckoutSchema, ...errors(400, 401, 409, 413, 415, 422) },
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
        tags,
        security,
        summary: 'Change the tier of a running subscription, with proration, or keep it from ending',
        body: ChooseTierSchema,
        response: { 200: SubscriptionSchema, ...errors(400, 401, 402, 404, 413, 415, 422) },
      },
    },
    async (request) => {
      await changeTier(services, request, request.body.tier);
      return mySubscription(request);
    },
  );

  app.delete(
    '/subscriptions',
    {
      onRequest: accountLimit(app),
      schema: {
        tags,
        security,
        summary: 'End the subscription with the period that is paid for, or at once',
        querystring: EndSubscriptionQuerySchema,
        response: { 200: SubscriptionSchema, ...errors(400, 401, 404, 413, 415) },
      },
    },
    async (request) => {
      await endSubscription(services, request, request.query.now);
      return mySubscription(request);
    },
  );

  app.post(
    '/subscriptions/portal',
    {
      onRequest: accountLimit(app),
      schema: {
        tags,
        security,
        summary: "The address of Stripe's page for invoices, means of payment and cancelling",
        response: { 201: PortalSchema, ...errors(400, 401, 404, 413, 415) },
      },
    },
    async (request, reply) => {
      const portal_url = await openPortal(services, request);
      reply.code(201);
      return { portal_url };
    },
  );
};
