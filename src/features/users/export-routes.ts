import { Readable } from 'node:stream';
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { requireUser, userOf } from '../../auth/guards/user-guard.js';
import { callDatabase } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import { exportText } from './export.js';
import { BalanceSchema, ExportSchema, ProfileSchema } from './schemas.js';

const balanceOf = shapeOf(BalanceSchema);
const accountOf = shapeOf(Type.Object({ profile: ProfileSchema }));

/** `GET /users/me/export`. */
export const exportRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  requireUser(app, services);
  const { database, userDatabase } = services;

  app.get(
    '/users/me/export',
    {
      // HEAD would read everything to answer nothing.
      exposeHeadRoute: false,
      schema: {
        tags: ['Users'],
        security: [{ userToken: [] }],
        summary: 'Everything held about the person, as a file; one that was cut off ends in the middle of the JSON',
        response: { 200: ExportSchema, ...errors(401) },
      },
    },
    async (request, reply) => {
      const caller = userOf(request);
      // Both before the first byte, so that what is wrong from the start is answered as an error.
      const account = accountOf(await callDatabase(() => database.rpc('export_account', { p_caller: caller })));
      const balance = balanceOf(await userDatabase.call(caller, (asUser) => asUser.rpc('my_balance')));
      const text = exportText(userDatabase, caller, { exported_at: new Date().toISOString(), ...account, balance });
      return reply
        .type('application/json; charset=utf-8')
        .header('content-disposition', 'attachment; filename="tokenledger-export.json"')
        .header('cache-control', 'no-store')
        .send(Readable.from(text, { objectMode: false }));
    },
  );
};
