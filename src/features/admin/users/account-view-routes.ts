import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import type { Database } from '../../../platform/database/client/database.js';
import type { Reads } from '../../../platform/database/replica/read-database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { PageQuerySchema, paginate, TimePositionSchema } from '../../../platform/http/pagination.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { BalanceEntriesSchema, BalanceEntryListSchema } from '../budget/entry-schemas.js';
import {
  AccountApiKeyListSchema,
  AccountApiKeysSchema,
  AccountDeviceListSchema,
  AccountDevicesSchema,
  AccountParamsSchema,
  AccountSchema,
} from './account-schemas.js';

interface AccountViewOptions {
  readonly database: Database;
  readonly reads: Reads;
}

/** Serves what one account is and has; the scope it is registered in must require an admin. */
export const accountViewRoutes: FastifyPluginAsyncTypebox<AccountViewOptions> = async (app, { database, reads }) => {
  describeRoutes(app, { tags: ['Admin: users'] });
  const params = AccountParamsSchema;

  app.get(
    '/admin/users/:id',
    {
      schema: {
        operationId: 'getUser',
        summary: 'Read an account',
        params,
        response: { 200: AccountSchema, ...errors(404) },
      },
    },
    async (request) =>
      database.call('get_account', { p_actor: getActor(request), p_user_id: request.params.id }, AccountSchema),
  );

  app.get(
    '/admin/users/:id/devices',
    {
      schema: {
        operationId: 'listUserDevices',
        summary: 'List the devices of an account, newest first',
        params,
        response: { 200: AccountDevicesSchema, ...errors(404) },
      },
    },
    async (request) => {
      const account = { p_actor: getActor(request), p_user_id: request.params.id };
      return { devices: await database.call('list_account_devices', account, AccountDeviceListSchema) };
    },
  );

  app.get(
    '/admin/users/:id/api-keys',
    {
      schema: {
        operationId: 'listUserApiKeys',
        summary: 'List the API keys of an account, without their secrets',
        params,
        response: { 200: AccountApiKeysSchema, ...errors(404) },
      },
    },
    async (request) => {
      const account = { p_actor: getActor(request), p_user_id: request.params.id };
      return { api_keys: await database.call('list_account_api_keys', account, AccountApiKeyListSchema) };
    },
  );

  app.get(
    '/admin/users/:id/ledger',
    {
      schema: {
        operationId: 'listUserLedger',
        responseHeaders: ['x-read-lag-ms'],
        summary: 'List what changed the allocation of an account, newest first',
        params,
        querystring: PageQuerySchema,
        response: { 200: BalanceEntriesSchema, ...errors(404) },
      },
    },
    async (request) => {
      const account = { p_actor: getActor(request), p_user_id: request.params.id };
      const { rows: entries, next_cursor } = await paginate(
        request.query,
        TimePositionSchema,
        (p_limit, before) => {
          const page = { ...account, p_limit, ...(before && { p_before_at: before.at, p_before_id: before.id }) };
          return reads.forAdmin(request, 'list_account_ledger', page, BalanceEntryListSchema);
        },
        ({ created_at, id }) => ({ at: created_at, id }),
      );
      return { entries, next_cursor };
    },
  );
};
