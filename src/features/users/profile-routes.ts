import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getUser } from '../../auth/guards/user-guard.js';
import { toNetwork } from '../../auth/limits/address.js';
import { createAccountNotices } from '../../auth/notices.js';
import { getPasswords } from '../../auth/passwords.js';
import type { Caller } from '../../platform/database/client/caller.js';
import { AnyResult, type Database, LONG_TIMEOUT_MS } from '../../platform/database/client/database.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { findOutbox } from '../../platform/mail/outbox.js';
import { changePassword } from './password.js';
import { updateProfile } from './profile.js';
import {
  ChangedPasswordSchema,
  ChangePasswordSchema,
  DeletedAccountSchema,
  ProfileSchema,
  UpdateProfileSchema,
} from './schemas.js';

/** What SQL returns of a deleted account. */
const RemovedSchema = Type.Object({ deleted: Type.Literal(true) });

interface ProfileOptions {
  readonly database: Database;
  readonly cancelBilling: (caller: Caller) => Promise<void>;
  /** Where clients reach the server, for links in mails. */
  readonly publicUrl: string;
}

/** Serves a person's own account: `GET`, `PUT` and `DELETE /users/me`, `POST /users/me/password`. */
export const profileRoutes: FastifyPluginAsyncTypebox<ProfileOptions> = async (app, options) => {
  describeRoutes(app, { tags: ['Users'] });
  const { database, publicUrl, cancelBilling } = options;
  const notices = createAccountNotices(app, publicUrl);
  const services = { database, publicUrl, findOutbox: () => findOutbox(app) };

  app.get(
    '/users/me',
    { schema: { operationId: 'getMe', summary: 'Read your profile', response: { 200: ProfileSchema } } },
    async (request) => database.call('get_profile', { p_caller: getUser(request) }, ProfileSchema),
  );

  app.put(
    '/users/me',
    {
      schema: {
        operationId: 'updateMe',
        summary: 'Change your name, picture or e-mail address',
        description:
          'A new address is pending_email until the link mailed to it is followed; the present one gets a notice. It needs a session that was opened, or proved again, within 5 minutes.',
        body: UpdateProfileSchema,
        response: { 200: ProfileSchema, ...errors(403, 409) },
      },
    },
    (request) => updateProfile(services, getUser(request), request.body),
  );

  app.delete(
    '/users/me',
    {
      schema: {
        operationId: 'deleteMe',
        summary: 'Delete your account and everything personal; this cannot be undone',
        description:
          'It needs a session that was opened, or proved again by POST /auth/reauthenticate, within 5 minutes.',
        response: { 200: DeletedAccountSchema, ...errors(403, 409) },
      },
    },
    async (request) => {
      const account = { p_caller: getUser(request) };
      await database.call('confirm_fresh_user', account, AnyResult);
      await cancelBilling(account.p_caller);
      return await notices.post('deleted', (notice) =>
        database.call('delete_account', { ...account, ...notice }, RemovedSchema, { timeoutMs: LONG_TIMEOUT_MS }),
      );
    },
  );

  app.post(
    '/users/me/password',
    {
      schema: {
        operationId: 'changeMyPassword',
        summary: 'Change your password, or set a first one; every other session ends',
        description: 'A first one needs a session that was opened, or proved again, within 5 minutes.',
        body: ChangePasswordSchema,
        response: { 200: ChangedPasswordSchema },
      },
    },
    async (request) => {
      const services = { database, passwords: getPasswords(app), notices };
      const { api_keys } = await changePassword(services, getUser(request), request.body, toNetwork(request));
      return { message: 'The password was changed', api_keys };
    },
  );
};
