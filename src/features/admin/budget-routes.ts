import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getActor, requireAdmin } from '../../auth/guards/admin-guard.js';
import { parseIdempotencyKey } from '../../metering/idempotency-key.js';
import type { Database } from '../../platform/database/client/database.js';
import { LONG_TIMEOUT_MS } from '../../platform/database/client/database.js';
import { errors } from '../../platform/http/error-schema.js';
import { PageQuerySchema, paginate } from '../../platform/http/pagination.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { allocate } from './budget.js';
import {
  AllocatedSchema,
  AllocateSchema,
  BudgetQuerySchema,
  BudgetSchema,
  ModelCostSchema,
  ModelCostsSchema,
  PeriodDeviceSchema,
  PeriodDevicesSchema,
  PeriodParamsSchema,
  PeriodSchema,
  PeriodsSchema,
  ResetMonthlySchema,
  ResetSchema,
  SetBudgetSchema,
  SetModelCostsSchema,
} from './budget-schemas.js';

const PeriodListSchema = Type.Array(PeriodSchema);
const PeriodDeviceListSchema = Type.Array(PeriodDeviceSchema);
const ModelCostListSchema = Type.Array(ModelCostSchema);
const Position = { number: Type.Integer(), id: Type.String({ format: 'uuid' }) };

/** Pools, allocations, periods and prices. */
export const budgetRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: budget'] });
  requireAdmin(app);

  app.post(
    '/admin/allocate',
    {
      schema: {
        summary: 'Give tokens from the pool, take unused ones back, or move them',
        body: AllocateSchema,
        response: { 200: AllocatedSchema, ...errors(403, 404, 422) },
      },
    },
    (request) => allocate(database, getActor(request), request.body, parseIdempotencyKey(request, undefined)),
  );

  app.get(
    '/admin/budget',
    {
      schema: {
        summary: 'A pool and what is left of it',
        querystring: BudgetQuerySchema,
        response: { 200: BudgetSchema },
      },
    },
    async (request) => {
      const { subject_kind } = request.query;
      return database.call('get_budget', { p_actor: getActor(request), p_kind: subject_kind }, BudgetSchema);
    },
  );

  app.put(
    '/admin/budget',
    {
      schema: {
        summary: 'Set the size of a pool',
        body: SetBudgetSchema,
        response: { 200: BudgetSchema },
      },
    },
    async (request) => {
      const { total, subject_kind } = request.body;
      const change = { p_actor: getActor(request), p_kind: subject_kind, ...(total !== null && { p_total: total }) };
      return database.call('set_budget', change, BudgetSchema);
    },
  );

  app.post(
    '/admin/reset-monthly',
    {
      schema: {
        summary: 'Close the budget period and give every device the default',
        body: ResetMonthlySchema,
        response: { 200: ResetSchema, ...errors(403, 409) },
      },
    },
    async (request) => {
      const { default_tokens, force } = request.body;
      const reset = { p_actor: getActor(request), p_default_tokens: default_tokens, p_force: force };
      return database.call('reset_monthly', reset, ResetSchema, { timeoutMs: LONG_TIMEOUT_MS });
    },
  );

  app.get(
    '/admin/periods',
    {
      schema: {
        summary: 'Budget periods, newest first',
        querystring: PageQuerySchema,
        response: { 200: PeriodsSchema },
      },
    },
    async (request) => {
      const { rows: periods, next_cursor } = await paginate(
        request.query,
        Position.number,
        (p_limit, before) => {
          const page = { p_actor: getActor(request), p_limit, ...(before !== undefined && { p_before: before }) };
          return database.call('list_periods', page, PeriodListSchema);
        },
        ({ number }) => number,
      );
      return { periods, next_cursor };
    },
  );

  app.get(
    '/admin/periods/:number',
    {
      schema: {
        summary: 'What each device had and used in a closed period',
        params: PeriodParamsSchema,
        querystring: PageQuerySchema,
        response: { 200: PeriodDevicesSchema },
      },
    },
    async (request) => {
      const p_period = Number(request.params.number);
      const { rows: devices, next_cursor } = await paginate(
        request.query,
        Position.id,
        (p_limit, after) => {
          const page = {
            p_actor: getActor(request),
            p_period,
            p_limit,
            ...(after !== undefined && { p_after: after }),
          };
          return database.call('list_period_devices', page, PeriodDeviceListSchema);
        },
        ({ device_id }) => device_id,
      );
      return { devices, next_cursor };
    },
  );

  app.get(
    '/admin/model-costs',
    { schema: { summary: 'Prices per prompt', response: { 200: ModelCostsSchema } } },
    async (request) => {
      const actor = { p_actor: getActor(request) };
      return { model_costs: await database.call('list_model_costs', actor, ModelCostListSchema) };
    },
  );

  app.put(
    '/admin/model-costs',
    {
      schema: {
        summary: 'Set prices; a null cost removes one',
        body: SetModelCostsSchema,
        response: { 200: ModelCostsSchema },
      },
    },
    async (request) => {
      const change = { p_actor: getActor(request), p_costs: request.body.model_costs };
      return { model_costs: await database.call('set_model_costs', change, ModelCostListSchema) };
    },
  );
};
