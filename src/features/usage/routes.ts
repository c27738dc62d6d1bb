import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { requireUser, userOf } from '../../auth/guards/user-guard.js';
import { idempotencyKeyOf } from '../../metering/idempotency-key.js';
import { callDatabase } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { ApiError } from '../../platform/errors.js';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import { recordBatch } from './batch.js';
import {
  DeletedUsageSchema,
  RecordedBatchSchema,
  RecordedUsageSchema,
  UsageBatchSchema,
  UsageEventSchema,
  UsageParamsSchema,
} from './schemas.js';

const tags = ['Usage'];
const security = [{ userToken: [] }];
const deletedOf = shapeOf(DeletedUsageSchema);
/** A thousand events of full length. */
const BODY_LIMIT_BYTES = 4 * 1024 * 1024;

/** @throws {ApiError} VALIDATION_FAILED where a batch brings a key, which would be that of none of its events */
function refuseKeyOf(request: FastifyRequest): void {
  if (request.headers['idempotency-key'] === undefined) return;
  throw new ApiError('VALIDATION_FAILED', {
    sentence: 'Idempotency-Key is for one event; give each of several an event_id of its own',
  });
}

/** What is observed of a person's use of models: recorded, and taken back. */
export const usageRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  requireUser(app, services);
  const { database, usageRecorder } = services;

  app.post(
    '/usage',
    {
      bodyLimit: BODY_LIMIT_BYTES,
      schema: {
        tags,
        security,
        summary: 'Record an observed use, or up to 1,000 as {events}; the same one sent twice is kept once',
        body: Type.Union([UsageEventSchema, UsageBatchSchema]),
        response: {
          200: Type.Union([RecordedUsageSchema, RecordedBatchSchema]),
          201: RecordedUsageSchema,
          ...errors(400, 401, 413, 415, 422),
        },
      },
    },
    async (request, reply) => {
      const { body } = request;
      if ('events' in body) {
        refuseKeyOf(request);
        return recordBatch(usageRecorder, userOf(request), body.events);
      }
      const key = idempotencyKeyOf(request, body.event_id);
      const recorded = await usageRecorder.record(userOf(request), body, key);
      return reply.code(recorded.duplicate ? 200 : 201).send(recorded);
    },
  );

  app.delete(
    '/usage/:id',
    {
      schema: {
        tags,
        security,
        summary: 'Delete an observed use; summaries follow. What was debited stays in the books.',
        params: UsageParamsSchema,
        response: { 200: DeletedUsageSchema, ...errors(400, 401, 404) },
      },
    },
    async (request) => {
      const event = { p_caller: userOf(request), p_id: request.params.id };
      return deletedOf(await callDatabase(() => database.rpc('delete_usage', event)));
    },
  );
};
