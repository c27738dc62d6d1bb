import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getUser } from '../../auth/guards/user-guard.js';
import { toNetwork } from '../../auth/limits/address.js';
import { getPasswords } from '../../auth/passwords.js';
import type { Caller } from '../../platform/database/client/caller.js';
import { type Database, LONG_TIMEOUT_MS } from '../../platform/database/client/database.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { changePassword } from './password.js';
import {
  ChangedPasswordSchema,
  ChangePasswordSchema,
  DeletedAccountSchema,
  ProfileSchema,
  UpdateProfileSchema,
} from './schemas.js';

interface ProfileOptions {
  readonly database: Database;
  readonly cancelBilling: (caller: Caller) => Promise<void>;
}

/** Serves a person's own account: `GET`, `PUT` and `DELETE /users/me`, `POST /users/me/password`. */
export const profileRoutes: FastifyPluginAsyncTypebox<ProfileOptions> = async (app, { database, cancelBilling }) => {
  describeRoutes(app, { tags: ['Users'] });

  app.get(
    '/users/me',
    { schema: { summary: 'Read your profile', response: { 200: ProfileSchema } } },
    async (request) => database.call('get_profile', { p_caller: getUser(request) }, ProfileSchema),
  );

  app.put(
    '/users/me',
    {
      schema: {
        summary: 'Change your name or picture',
        body: UpdateProfileSchema,
        response: { 200: ProfileSchema },
      },
    },
    async (request) => {
      const { name } = request.body;
      const p_changes = { ...request.body, ...(typeof name === 'string' && { name: name.trim() }) };
      const change = { p_caller: getUser(request), p_changes };
      return await database.call('update_profile', change, ProfileSchema);
    },
  );

  app.delete(
    '/users/me',
    {
      schema: {
        summary: 'Delete your account and everything personal; this cannot be undone',
        response: { 200: DeletedAccountSchema, ...errors(409) },
      },
    },
    async (request) => {
      await cancelBilling(getUser(request));
      const account = { p_caller: getUser(request) };
      return database.call('delete_account', account, DeletedAccountSchema, { timeoutMs: LONG_TIMEOUT_MS });
    },
  );

  app.post(
    '/users/me/password',
    {
      schema: {
        summary: 'Change your password, or set a first one; every other session ends',
        body: ChangePasswordSchema,
        response: { 200: ChangedPasswordSchema },
      },
    },
    async (request) => {
      const passwords = getPasswords(app);
      const network = toNetwork(request);
      const { api_keys } = await changePassword(database, passwords, getUser(request), request.body, network);
      return { message: 'The password was changed', api_keys };
    },
  );
};
