import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import { getPasswords } from '../../../auth/passwords.js';
import { UserSchema } from '../../../auth/user-schema.js';
import type { Database } from '../../../platform/database/client/database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { CreateUserSchema, UsersQuerySchema, UsersSchema } from './user-schemas.js';
import { createUser, listUsers } from './users.js';

interface UserRoutesOptions {
  readonly database: Database;
  /** Tokens a new account starts with. */
  readonly defaultUserTokens: number;
}

/** The paths of the list of accounts, each with its operation; contract 4 has it at `/users`. */
const LIST_PATHS = [
  ['/admin/users', 'listUsers'],
  ['/users', 'listAllUsers'],
] as const;

/** Serves the list of accounts and their creation; the scope it is registered in must require an admin. */
export const userRoutes: FastifyPluginAsyncTypebox<UserRoutesOptions> = async (
  app,
  { database, defaultUserTokens },
) => {
  describeRoutes(app, { tags: ['Admin: users'] });

  for (const [path, operationId] of LIST_PATHS) {
    app.get(
      path,
      {
        schema: {
          operationId,
          summary: 'List accounts with their balances, newest first',
          querystring: UsersQuerySchema,
          response: { 200: UsersSchema },
        },
      },
      (request) => listUsers(database, getActor(request), request.query),
    );
  }

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
