import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import { getPasswords } from '../../../auth/passwords.js';
import type { Database } from '../../../platform/database/client/database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import {
  AdminParamsSchema,
  CreateAdminSchema,
  DeletedAdminSchema,
  ManagedAdminListSchema,
  ManagedAdminSchema,
  ManagedAdminsSchema,
  UpdateAdminSchema,
} from './admin-schemas.js';

const config = { adminRole: 'owner' } as const;

/** Serves who may use the admin API, to owners; the scope it is registered in must require an admin. */
export const adminRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: admins'] });
  const passwords = getPasswords(app);

  app.get(
    '/admin/admins',
    {
      config,
      schema: { operationId: 'listAdmins', summary: 'List the admins', response: { 200: ManagedAdminsSchema } },
    },
    async (request) => ({
      admins: await database.call('list_admins', { p_actor: getActor(request) }, ManagedAdminListSchema),
    }),
  );

  app.post(
    '/admin/admins',
    {
      config,
      schema: {
        operationId: 'createAdmin',
        summary: 'Create an admin',
        body: CreateAdminSchema,
        response: { 201: ManagedAdminSchema, ...errors(409) },
      },
    },
    async (request, reply) => {
      const { username: p_username, password, role: p_role } = request.body;
      const p_password_hash = await passwords.hashNew(password, [p_username]);
      const admin = { p_actor: getActor(request), p_username, p_password_hash, p_role };
      return reply.code(201).send(await database.call('create_admin', admin, ManagedAdminSchema));
    },
  );

  app.patch(
    '/admin/admins/:id',
    {
      config,
      schema: {
        operationId: 'updateAdmin',
        summary: "Set an admin's role or password, or remove a lost second factor; ends their sessions",
        params: AdminParamsSchema,
        body: UpdateAdminSchema,
        response: { 200: ManagedAdminSchema, ...errors(404, 409) },
      },
    },
    async (request) => {
      const { role, password, reset_second_factor } = request.body;
      const change = {
        p_actor: getActor(request),
        p_id: request.params.id,
        p_reset_second_factor: reset_second_factor,
        ...(role !== undefined && { p_role: role }),
        ...(password !== undefined && { p_password_hash: await passwords.hashNew(password, []) }),
      };
      return await database.call('update_admin', change, ManagedAdminSchema);
    },
  );

  app.delete(
    '/admin/admins/:id',
    {
      config,
      schema: {
        operationId: 'deleteAdmin',
        summary: 'Remove an admin; their tokens stop working at once',
        params: AdminParamsSchema,
        response: { 200: DeletedAdminSchema, ...errors(404, 409) },
      },
    },
    async (request) => {
      const admin = { p_actor: getActor(request), p_id: request.params.id };
      return await database.call('delete_admin', admin, DeletedAdminSchema);
    },
  );
};
