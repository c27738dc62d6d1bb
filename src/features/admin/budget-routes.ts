import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { actorOf, requireAdmin } from '../../auth/guards/admin-guard.js';
import { idempotencyKeyOf } from '../../metering/idempotency-key.js';
import { callDatabase, longCall } from '../../platform/database/client/client.js';
import { errors } from '../../platform/http/error-schema.js';
import { decodeCursor, nextCursor, PageQuerySchema } from '../../platform/http/pagination.js';
import type { Services } from '../../services.js';
import { allocate, budgetOf, modelCostsOf, periodDevicesOf, periodsOf, resetOf } from './budget.js';
import {
  AllocatedSchema,
  AllocateSchema,
  BudgetQuerySchema,
  BudgetSchema,
  ModelCostsSchema,
  PeriodDevicesSchema,
  PeriodParamsSchema,
  PeriodsSchema,
  ResetMonthlySchema,
  ResetSchema,
  SetBudgetSchema,
  SetModelCostsSchema,
} from './budget-schemas.js';

const tags = ['Admin: budget'];
const security = [{ adminToken: [] }];
const Position = { number: Type.Integer(), id: Type.String({ format: 'uuid' }) };

/** Pools, allocations, periods and prices. */
export const budgetRoutes: FastifyPluginAsyncTypebox<Services> = async (app, { database }) => {
  requireAdmin(app);

  app.post(
    '/admin/allocate',
    {
      schema: {
        tags,
        security,
        summary: 'Give tokens from the pool, take unused ones back, or move them',
        body: AllocateSchema,
        response: { 200: AllocatedSchema, ...errors(400, 401, 403, 404, 413, 415, 422) },
      },
    },
    (request) => allocate(database, actorOf(request), request.body, idempotencyKeyOf(request, undefined)),
  );

  app.get(
    '/admin/budget',
    {
      schema: {
        tags,
        security,
        summary: 'A pool and what is left of it',
        querystring: BudgetQuerySchema,
        response: { 200: BudgetSchema, ...errors(400, 401) },
      },
    },
    async (request) => {
      const { subject_kind } = request.query;
      return budgetOf(
        await callDatabase(() => database.rpc('get_budget', { p_actor: actorOf(request), p_kind: subject_kind })),
      );
    },
  );

  app.put(
    '/admin/budget',
    {
      schema: {
        tags,
        security,
        summary: 'Set the size of a pool',
        body: SetBudgetSchema,
        response: { 200: BudgetSchema, ...errors(400, 401, 413, 415) },
      },
    },
    async (request) => {
      const { total, subject_kind } = request.body;
      const change = { p_actor: actorOf(request), p_kind: subject_kind, ...(total !== null && { p_total: total }) };
      return budgetOf(await callDatabase(() => database.rpc('set_budget', change)));
    },
  );

  app.post(
    '/admin/reset-monthly',
    {
      schema: {
        tags,
        security,
        summary: 'Close the budget period and give every device the default',
        body: ResetMonthlySchema,
        response: { 200: ResetSchema, ...errors(400, 401, 403, 409, 413, 415) },
      },
    },
    async (request) => {
      const { default_tokens, force } = request.body;
      const reset = { p_actor: actorOf(request), p_default_tokens: default_tokens, p_force: force };
      return resetOf(await callDatabase(() => database.rpc('reset_monthly', reset).abortSignal(longCall())));
    },
  );

  app.get(
    '/admin/periods',
    {
      schema: {
        tags,
        security,
        summary: 'Budget periods, newest first',
        querystring: PageQuerySchema,
        response: { 200: PeriodsSchema, ...errors(400, 401) },
      },
    },
    async (request) => {
      const { limit, cursor } = request.query;
      const before = decodeCursor(Position.number, cursor);
      const page = { p_actor: actorOf(request), p_limit: limit, ...(before !== undefined && { p_before: before }) };
      const periods = periodsOf(await callDatabase(() => database.rpc('list_periods', page)));
      return { periods, next_cursor: nextCursor(periods, limit, ({ number }) => number) };
    },
  );

  app.get(
    '/admin/periods/:number',
    {
      schema: {
        tags,
        security,
        summary: 'What each device had and used in a closed period',
        params: PeriodParamsSchema,
        querystring: PageQuerySchema,
        response: { 200: PeriodDevicesSchema, ...errors(400, 401) },
      },
    },
    async (request) => {
      const { limit, cursor } = request.query;
      const after = decodeCursor(Position.id, cursor);
      const page = {
        p_actor: actorOf(request),
        p_period: Number(request.params.number),
        p_limit: limit,
        ...(after !== undefined && { p_after: after }),
      };
      const devices = periodDevicesOf(await callDatabase(() => database.rpc('list_period_devices', page)));
      return { devices, next_cursor: nextCursor(devices, limit, ({ device_id }) => device_id) };
    },
  );

  app.get(
    '/admin/model-costs',
    { schema: { tags, security, summary: 'Prices per prompt', response: { 200: ModelCostsSchema, ...errors(401) } } },
    async (request) => {
      const costs = await callDatabase(() => database.rpc('list_model_costs', { p_actor: actorOf(request) }));
      return { model_costs: modelCostsOf(costs) };
    },
  );

  app.put(
    '/admin/model-costs',
    {
      schema: {
        tags,
        security,
        summary: 'Set prices; a null cost removes one',
        body: SetModelCostsSchema,
        response: { 200: ModelCostsSchema, ...errors(400, 401, 413, 415) },
      },
    },
    async (request) => {
      const change = { p_actor: actorOf(request), p_costs: request.body.model_costs };
      return { model_costs: modelCostsOf(await callDatabase(() => database.rpc('set_model_costs', change))) };
    },
  );
};
