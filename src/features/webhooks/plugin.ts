import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import { requireAdmin } from '../../auth/guards/admin-guard.js';
import type { Config } from '../../config/config.js';
import type { Database } from '../../platform/database/client/database.js';
import type { Delivery } from '../../platform/delivery-rounds.js';
import { createSealing, type SealingKeys } from '../../platform/sealing.js';
import { createWebhookDelivery } from './delivery.js';
import { deliveryRoutes } from './delivery-routes.js';
import { endpointRoutes } from './endpoint-routes.js';
import { createWebhookSender } from './send.js';

const DELIVERY = 'webhookDelivery';

/** Dependencies of webhooks. */
export interface WebhookOptions {
  readonly database: Database;
  readonly config: Config['webhooks'];
  /** The first seals secrets, all open them. */
  readonly keys: SealingKeys;
}

/** Returns what looks for events that are due. */
export function findWebhookDelivery(app: FastifyInstance): Pick<Delivery, 'wake'> {
  return app.getDecorator<Delivery>(DELIVERY);
}

const delivery: FastifyPluginAsync<WebhookOptions> = async (app, { database, config, keys }) => {
  const delivering = createWebhookDelivery({
    database,
    sealing: createSealing(keys),
    sender: createWebhookSender(config.allowsPrivate),
    log: app.log,
  });
  app.decorate(DELIVERY, delivering);
  app.addHook('onClose', delivering.stop);
};

/** Delivers events when it is woken; the application closes when those on their way have ended. */
export const webhookDelivery = fp(delivery, { name: 'webhook-delivery' });

/** Serves webhooks to admins. */
export const webhooks: FastifyPluginAsync<WebhookOptions> = async (app, { database, config, keys }) => {
  requireAdmin(app);
  await app.register(endpointRoutes, { database, sealing: createSealing(keys), allowsPrivate: config.allowsPrivate });
  await app.register(deliveryRoutes, { database, wake: findWebhookDelivery(app).wake });
};
