import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { normalizeEmail } from '../../auth/email.js';
import { getActor, requireAdmin } from '../../auth/guards/admin-guard.js';
import { hashNewPassword } from '../../auth/passwords.js';
import { UserSchema } from '../../auth/user-schema.js';
import { errors } from '../../platform/http/error-schema.js';
import { decodeCursor, encodeCursor } from '../../platform/http/pagination.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import type { AdminOptions } from './plugin.js';
import { CreateUserSchema, UsersQuerySchema, UsersSchema } from './user-schemas.js';

const ListUsersSchema = Type.Object({ count: Type.Integer(), users: Type.Array(UserSchema) });

const PositionSchema = Type.Object({ at: Type.String({ maxLength: 40 }), id: Type.String({ format: 'uuid' }) });

/** Accounts: contract 4's list, and one made by an admin. */
export const userRoutes: FastifyPluginAsyncTypebox<AdminOptions> = async (app, { database, defaultUserTokens }) => {
  describeRoutes(app, { tags: ['Admin: users'] });
  requireAdmin(app);

  for (const path of ['/admin/users', '/users']) {
    app.get(
      path,
      {
        schema: {
          summary: 'Accounts with their balances, newest first',
          querystring: UsersQuerySchema,
          response: { 200: UsersSchema },
        },
      },
      async (request) => {
        const { limit, cursor, q } = request.query;
        const after = decodeCursor(PositionSchema, cursor);
        const page = {
          p_actor: getActor(request),
          p_limit: limit,
          ...(q !== undefined && { p_query: q }),
          ...(after !== undefined && { p_after_at: after.at, p_after_id: after.id }),
        };
        const { count, users } = await database.call('list_users', page, ListUsersSchema);
        const next_cursor = encodeCursor(users, limit, ({ created_at, id }) => ({ at: created_at, id }));
        return { success: true as const, count, users, next_cursor };
      },
    );
  }

  app.post(
    '/admin/users',
    {
      schema: {
        summary: 'Create an account, with or without a password',
        body: CreateUserSchema,
        response: { 201: UserSchema, ...errors(409) },
      },
    },
    async (request, reply) => {
      const { email, name, password } = request.body;
      const account = {
        p_actor: getActor(request),
        p_email: normalizeEmail(email),
        p_default_tokens: defaultUserTokens,
        ...(name !== undefined && { p_name: name.trim() }),
        ...(password !== undefined && { p_password_hash: await hashNewPassword(password) }),
      };
      const user = await database.call('create_user', account, UserSchema);
      return reply.code(201).send(user);
    },
  );
};
