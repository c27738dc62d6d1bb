import type { FastifyPluginAsyncTypebox, Static } from '@fastify/type-provider-typebox';
import { type Actor, getActor } from '../../auth/guards/admin-guard.js';
import type { Database } from '../../platform/database/client/database.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import type { Sealing } from '../../platform/sealing.js';
import { parseWebhookUrl } from './addresses.js';
import {
  CreatedWebhookSchema,
  CreateWebhookSchema,
  DeletedWebhookSchema,
  EVENT_TYPES,
  WebhookParamsSchema,
  WebhookSchema,
  WebhooksSchema,
} from './schemas.js';
import { createWebhookSecret } from './signature.js';

/** Dependencies of endpoints. */
export interface EndpointOptions {
  readonly database: Database;
  readonly sealing: Sealing;
  /** Whether addresses of this machine and its networks may be reached. */
  readonly allowsPrivate: boolean;
}

/** Creates an endpoint; its secret is in the answer and nowhere else in clear. */
async function createEndpoint(
  { database, sealing, allowsPrivate }: EndpointOptions,
  actor: Actor,
  { url, events, description }: Static<typeof CreateWebhookSchema>,
): Promise<Static<typeof CreatedWebhookSchema>> {
  const secret = createWebhookSecret();
  const endpoint = {
    p_actor: actor,
    p_url: parseWebhookUrl(url, allowsPrivate),
    p_events: events ?? [...EVENT_TYPES],
    p_secret: sealing.seal(secret),
    ...(description !== undefined && { p_description: description }),
  };
  return { ...(await database.call('create_webhook', endpoint, WebhookSchema)), secret };
}

/** Serves the addresses events are sent to; the scope must require an admin. */
export const endpointRoutes: FastifyPluginAsyncTypebox<EndpointOptions> = async (app, options) => {
  describeRoutes(app, { tags: ['Admin: alerts'] });
  const { database } = options;

  app.post(
    '/admin/webhooks',
    {
      config: { adminRole: 'owner' },
      schema: {
        operationId: 'createWebhook',
        summary: 'Have events sent to an address; the secret is shown only now',
        body: CreateWebhookSchema,
        response: { 201: CreatedWebhookSchema, ...errors(409) },
      },
    },
    async (request, reply) => reply.code(201).send(await createEndpoint(options, getActor(request), request.body)),
  );

  app.get(
    '/admin/webhooks',
    {
      schema: {
        operationId: 'listWebhooks',
        summary: 'List the addresses events are sent to',
        response: { 200: WebhooksSchema },
      },
    },
    (request) => database.call('list_webhooks', { p_actor: getActor(request) }, WebhooksSchema),
  );

  app.delete(
    '/admin/webhooks/:id',
    {
      config: { adminRole: 'owner' },
      schema: {
        operationId: 'deleteWebhook',
        summary: 'Send no more events to an address, nor what waits for it',
        params: WebhookParamsSchema,
        response: { 200: DeletedWebhookSchema, ...errors(404) },
      },
    },
    (request) => {
      const endpoint = { p_actor: getActor(request), p_id: request.params.id };
      return database.call('delete_webhook', endpoint, DeletedWebhookSchema);
    },
  );
};
