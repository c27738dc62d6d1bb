import { type FastifyPluginAsyncTypebox, type Static, Type } from '@fastify/type-provider-typebox';
import { type Actor, getActor } from '../../auth/guards/admin-guard.js';
import type { Database } from '../../platform/database/client/database.js';
import { errors } from '../../platform/http/error-schema.js';
import { paginate } from '../../platform/http/pagination.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import {
  DeliveriesQuerySchema,
  DeliveriesSchema,
  DeliveryParamsSchema,
  DeliverySchema,
  WebhookParamsSchema,
} from './schemas.js';

const RowsSchema = Type.Array(DeliverySchema);
const PositionSchema = Type.Integer();

/** Dependencies of deliveries. */
interface DeliveryOptions {
  readonly database: Database;
  /** Looks for events that are due. */
  readonly wake: () => void;
}

/** Reads a page of what an endpoint was sent or waits for, newest first. */
async function listDeliveries(
  database: Database,
  actor: Actor,
  id: string,
  { status, ...query }: Static<typeof DeliveriesQuerySchema>,
): Promise<Static<typeof DeliveriesSchema>> {
  const filter = { p_actor: actor, p_id: id, ...(status !== undefined && { p_status: status }) };
  const { rows: deliveries, next_cursor } = await paginate(
    query,
    PositionSchema,
    (p_limit, before) => {
      const page = { ...filter, p_limit, ...(before !== undefined && { p_before: before }) };
      return database.call('list_webhook_deliveries', page, RowsSchema);
    },
    ({ id: position }) => position,
  );
  return { deliveries, next_cursor };
}

/** Serves what was sent to an endpoint, and sends it again; the scope must require an admin. */
export const deliveryRoutes: FastifyPluginAsyncTypebox<DeliveryOptions> = async (app, { database, wake }) => {
  describeRoutes(app, { tags: ['Admin: alerts'] });

  app.post(
    '/admin/webhooks/:id/test',
    {
      schema: {
        operationId: 'testWebhook',
        summary: 'Send an event webhook.test to an address',
        params: WebhookParamsSchema,
        response: { 202: DeliverySchema, ...errors(404) },
      },
    },
    async (request, reply) => {
      const endpoint = { p_actor: getActor(request), p_id: request.params.id };
      const delivery = await database.call('test_webhook', endpoint, DeliverySchema);
      wake();
      return reply.code(202).send(delivery);
    },
  );

  app.get(
    '/admin/webhooks/:id/deliveries',
    {
      schema: {
        operationId: 'listWebhookDeliveries',
        summary: 'List the events an address was sent, or is to be sent, newest first',
        params: WebhookParamsSchema,
        querystring: DeliveriesQuerySchema,
        response: { 200: DeliveriesSchema, ...errors(404) },
      },
    },
    (request) => listDeliveries(database, getActor(request), request.params.id, request.query),
  );

  app.post(
    '/admin/webhooks/:id/deliveries/:delivery_id/redeliver',
    {
      schema: {
        operationId: 'redeliverWebhook',
        summary: 'Send an event again that was given up, or delivered, under the same id',
        params: DeliveryParamsSchema,
        response: { 202: DeliverySchema, ...errors(404) },
      },
    },
    async (request, reply) => {
      const { id: p_id, delivery_id } = request.params;
      const event = { p_actor: getActor(request), p_id, p_delivery_id: Number(delivery_id) };
      const delivery = await database.call('redeliver_webhook', event, DeliverySchema);
      wake();
      return reply.code(202).send(delivery);
    },
  );
};
