import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { getUser } from '../../auth/guards/user-guard.js';
import { parseIdempotencyKey } from '../../metering/idempotency-key.js';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { errors } from '../../platform/http/error-schema.js';
import { acceptJson } from '../../platform/http/json-body.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { findBodyProblem, recordBatch } from './batch.js';
import { readBody } from './reading.js';
import {
  DeletedUsageSchema,
  RecordedBatchSchema,
  RecordedUsageSchema,
  UsageBatchSchema,
  UsageEventSchema,
  UsageParamsSchema,
} from './schemas.js';
import type { UsageRecorder } from './usage-recorder.js';

/** Fits a thousand events of full length. */
const BODY_LIMIT_BYTES = 4 * 1024 * 1024;

/** Rejects a batch that brings a key, which would belong to none of its events. @throws {ApiError} VALIDATION_FAILED */
function rejectBatchKey(request: FastifyRequest): void {
  if (request.headers['idempotency-key'] === undefined) return;
  throw new ApiError('VALIDATION_FAILED', {
    sentence: 'Idempotency-Key is for one event; give each of several an event_id of its own',
  });
}

/** Has a body judged as it is meant. */
async function readSentBody(request: FastifyRequest): Promise<void> {
  request.body = readBody(request.body);
}

interface RecordingOptions {
  readonly database: Database;
  readonly recorder: UsageRecorder;
}

/** Serves the recording of uses an extension observed, and their deletion. */
export const recordingRoutes: FastifyPluginAsyncTypebox<RecordingOptions> = async (app, { database, recorder }) => {
  describeRoutes(app, { tags: ['Usage'] });
  acceptJson(app, findBodyProblem);

  app.post(
    '/usage',
    {
      bodyLimit: BODY_LIMIT_BYTES,
      preValidation: readSentBody,
      schema: {
        operationId: 'recordUsage',
        takesIdempotencyKey: true,
        summary: 'Record an observed use, or up to 1,000 as {events}; one sent twice is kept once',
        body: Type.Union([UsageEventSchema, UsageBatchSchema]),
        response: {
          200: Type.Union([RecordedUsageSchema, RecordedBatchSchema]),
          201: RecordedUsageSchema,
          ...errors(422),
        },
      },
    },
    async (request, reply) => {
      const { body } = request;
      if ('events' in body) {
        rejectBatchKey(request);
        return recordBatch(recorder, getUser(request), body.events);
      }
      const key = parseIdempotencyKey(request, body.event_id);
      const recorded = await recorder.record(getUser(request), body, key, request.raw.socket);
      return reply.code(recorded.duplicate ? 200 : 201).send(recorded);
    },
  );

  app.delete(
    '/usage/:id',
    {
      schema: {
        operationId: 'deleteUsage',
        summary: 'Delete an observed use from lists and summaries; what it debited stays debited',
        params: UsageParamsSchema,
        response: { 200: DeletedUsageSchema, ...errors(404) },
      },
    },
    async (request) => {
      const event = { p_caller: getUser(request), p_id: request.params.id };
      return await database.call('delete_usage', event, DeletedUsageSchema);
    },
  );
};
