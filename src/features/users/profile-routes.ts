import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getUser } from '../../auth/guards/user-guard.js';
import type { Caller } from '../../platform/database/client/caller.js';
import { type Database, LONG_TIMEOUT_MS } from '../../platform/database/client/database.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { findOutbox } from '../../platform/mail/outbox.js';
import { changePassword } from './password.js';
import { updateProfile } from './profile.js';
import {
  ChangePasswordSchema,
  DeletedAccountSchema,
  MessageSchema,
  ProfileSchema,
  UpdateProfileSchema,
} from './schemas.js';

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
  const services = { database, publicUrl, findOutbox: () => findOutbox(app) };

  app.get(
    '/users/me',
    { schema: { summary: 'Read your profile', response: { 200: ProfileSchema } } },
    async (request) => database.call('get_profile', { p_caller: getUser(request) }, ProfileSchema),
  );

  app.put(
    '/users/me',
    {
      schema: {
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
        response: { 200: MessageSchema },
      },
    },
    async (request) => {
      await changePassword(database, getUser(request), request.body);
      return { message: 'The password was changed' };
    },
  );
};
