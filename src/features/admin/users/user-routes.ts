import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import { getPasswords } from '../../../auth/passwords.js';
import { UserSchema } from '../../../auth/user-schema.js';
import type { Database } from '../../../platform/database/client/database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { toListArguments, toNextCursor } from '../sorted-list.js';
import {
  AccountRowsSchema,
  AccountsQuerySchema,
  AccountsSchema,
  CreateUserSchema,
  UsersQuerySchema,
  UsersSchema,
} from './user-schemas.js';
import { createUser, listUsers } from './users.js';

interface UserRoutesOptions {
  readonly database: Database;
  /** Tokens a new account starts with. */
  readonly defaultUserTokens: number;
}

/** Serves the list of accounts, which contract 4 has at `/users`, and their creation; the scope it is registered in must require an admin. */
export const userRoutes: FastifyPluginAsyncTypebox<UserRoutesOptions> = async (
  app,
  { database, defaultUserTokens },
) => {
  describeRoutes(app, { tags: ['Admin: users'] });

  app.get(
    '/admin/users',
    {
      schema: {
        operationId: 'listUsers',
        summary: 'List accounts with their balances: searched, filtered and sorted',
        querystring: AccountsQuerySchema,
        response: { 200: AccountsSchema },
      },
    },
    async (request) => {
      const list = toListArguments(request.query);
      const rows = await database.call('list_accounts', { p_actor: getActor(request), ...list }, AccountRowsSchema);
      return { success: true, ...rows, next_cursor: toNextCursor(rows.users, list) } as const;
    },
  );

  app.get(
    '/users',
    {
      schema: {
        operationId: 'listAllUsers',
        summary: 'List accounts with their balances, newest first',
        querystring: UsersQuerySchema,
        response: { 200: UsersSchema },
      },
    },
    (request) => listUsers(database, getActor(request), request.query),
  );

  app.post(
    '/admin/users',
    {
      schema: {
        operationId: 'createUser',
        summary: 'Create an account, with or without a password',
        body: CreateUserSchema,
        response: { 201: UserSchema, ...errors(409) },
      },
    },
    async (request, reply) => {
      const user = await createUser(database, getPasswords(app), getActor(request), request.body, defaultUserTokens);
      return reply.code(201).send(user);
    },
  );
};
