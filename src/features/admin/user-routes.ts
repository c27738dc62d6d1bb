import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { actorOf, requireAdmin } from '../../auth/guards/admin-guard.js';
import { hashNewPassword } from '../../auth/passwords.js';
import { normalEmail, UserSchema } from '../../auth/sessions/schemas.js';
import { callDatabase } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { errors } from '../../platform/http/error-schema.js';
import { decodeCursor, nextCursor } from '../../platform/http/pagination.js';
import type { Services } from '../../services.js';
import { CreateUserSchema, UsersQuerySchema, UsersSchema } from './user-schemas.js';

const tags = ['Admin: users'];
const security = [{ adminToken: [] }];
const userOf = shapeOf(UserSchema);
const pageOf = shapeOf(Type.Object({ count: Type.Integer(), users: Type.Array(UserSchema) }));
const PositionSchema = Type.Object({ at: Type.String({ maxLength: 40 }), id: Type.String({ format: 'uuid' }) });

/** Accounts: contract 4's list, and one made by an admin. */
export const userRoutes: FastifyPluginAsyncTypebox<Services> = async (app, { config, database }) => {
  requireAdmin(app);

  for (const path of ['/admin/users', '/users']) {
    app.get(
      path,
      {
        schema: {
          tags,
          security,
          summary: 'Accounts with their balances, newest first',
          querystring: UsersQuerySchema,
          response: { 200: UsersSchema, ...errors(400, 401) },
        },
      },
      async (request) => {
        const { limit, cursor, q } = request.query;
        const after = decodeCursor(PositionSchema, cursor);
        const page = {
          p_actor: actorOf(request),
          p_limit: limit,
          ...(q !== undefined && { p_query: q }),
          ...(after !== undefined && { p_after_at: after.at, p_after_id: after.id }),
        };
        const { count, users } = pageOf(await callDatabase(() => database.rpc('list_users', page)));
        const next_cursor = nextCursor(users, limit, ({ created_at, id }) => ({ at: created_at, id }));
        return { success: true as const, count, users, next_cursor };
      },
    );
  }

  app.post(
    '/admin/users',
    {
      schema: {
        tags,
        security,
        summary: 'Create an account, with or without a password',
        body: CreateUserSchema,
        response: { 201: UserSchema, ...errors(400, 401, 409, 413, 415) },
      },
    },
    async (request, reply) => {
      const { email, name, password } = request.body;
      const account = {
        p_actor: actorOf(request),
        p_email: normalEmail(email),
        p_default_tokens: config.DEFAULT_USER_TOKENS,
        ...(name !== undefined && { p_name: name.trim() }),
        ...(password !== undefined && { p_password_hash: await hashNewPassword(password) }),
      };
      const user = userOf(await callDatabase(() => database.rpc('create_user', account)));
      return reply.code(201).send(user);
    },
  );
};
