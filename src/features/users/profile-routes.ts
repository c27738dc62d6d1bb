import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { requireUser, userOf } from '../../auth/guards/user-guard.js';
import { callDatabase, longCall } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import { endPayments } from '../subscriptions/customer.js';
import { changePassword } from './password.js';
import {
  ChangePasswordSchema,
  DeletedAccountSchema,
  MessageSchema,
  ProfileSchema,
  UpdateProfileSchema,
} from './schemas.js';

const tags = ['Users'];
const security = [{ userToken: [] }];
const profileOf = shapeOf(ProfileSchema);
const deletedOf = shapeOf(DeletedAccountSchema);

/** A person's own account: `GET`, `PUT` and `DELETE /users/me`, `POST /users/me/password`. */
export const profileRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  requireUser(app, services);
  const { database } = services;

  app.get(
    '/users/me',
    { schema: { tags, security, summary: 'The profile', response: { 200: ProfileSchema, ...errors(401) } } },
    async (request) => profileOf(await callDatabase(() => database.rpc('get_profile', { p_caller: userOf(request) }))),
  );

  app.put(
    '/users/me',
    {
      schema: {
        tags,
        security,
        summary: 'Change name or picture',
        body: UpdateProfileSchema,
        response: { 200: ProfileSchema, ...errors(400, 401, 413, 415) },
      },
    },
    async (request) => {
      const { name } = request.body;
      const p_changes = { ...request.body, ...(typeof name === 'string' && { name: name.trim() }) };
      const change = { p_caller: userOf(request), p_changes };
      return profileOf(await callDatabase(() => database.rpc('update_profile', change)));
    },
  );

  app.delete(
    '/users/me',
    {
      schema: {
        tags,
        security,
        summary: 'Delete the account and everything personal; this cannot be undone',
        response: { 200: DeletedAccountSchema, ...errors(400, 401, 409, 413, 415) },
      },
    },
    async (request) => {
      await endPayments(services, userOf(request));
      const account = { p_caller: userOf(request) };
      const call = () => database.rpc('delete_account', account).abortSignal(longCall());
      return deletedOf(await callDatabase(call));
    },
  );

  app.post(
    '/users/me/password',
    {
      schema: {
        tags,
        security,
        summary: 'Change the password, or set the first one; every other session ends',
        body: ChangePasswordSchema,
        response: { 200: MessageSchema, ...errors(400, 401, 413, 415) },
      },
    },
    async (request) => {
      await changePassword(database, userOf(request), request.body);
      return { message: 'The password was changed' };
    },
  );
};
