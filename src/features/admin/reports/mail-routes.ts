import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import type { Database } from '../../../platform/database/client/database.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';

const NullableTime = (description: string) => Type.Union([Type.String({ description }), Type.Null()]);

const MailQueueSchema = Type.Object({
  waiting: Type.Integer({ description: 'Mails that are not out yet.' }),
  failing: Type.Integer({ description: 'Those that were tried more than once.' }),
  oldest_at: NullableTime('When the oldest of them was written.'),
  next_attempt_at: NullableTime('When the next of them is tried.'),
  kinds: Type.Record(Type.String(), Type.Integer(), { description: 'How many of each kind.' }),
});

/** Serves what waits in the outbox, without addresses; the scope it is registered in must require an admin. */
export const mailRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: reports'] });

  app.get(
    '/admin/mail',
    {
      schema: {
        operationId: 'getMailQueue',
        summary: 'Count the mails that wait to be sent',
        response: { 200: MailQueueSchema },
      },
    },
    (request) => database.call('get_mail_queue', { p_actor: getActor(request) }, MailQueueSchema),
  );
};
