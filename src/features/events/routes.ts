import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getUser } from '../../auth/guards/user-guard.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import { ApiError } from '../../platform/errors.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { TimeRangeQuery, toTimeRangeArguments } from '../../platform/http/time-range.js';
import type { EventRecorder } from './event-recorder.js';
import { FeatureEventSchema, FeatureSummarySchema, RecordedFeatureSchema } from './schemas.js';

const MAX_PROPERTIES_BYTES = 4_096;

const SummaryQuerySchema = Type.Object(
  {
    ...TimeRangeQuery,
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 100, description: 'Only this feature.' })),
    group_by: Type.Optional(Type.Union([Type.Literal('name'), Type.Literal('day')], { default: 'name' })),
  },
  { additionalProperties: false },
);

/** Rejects properties that are too long as JSON. @throws {ApiError} VALIDATION_FAILED */
function requireShortProperties(properties: object | undefined): void {
  if (Buffer.byteLength(JSON.stringify(properties ?? {})) <= MAX_PROPERTIES_BYTES) return;
  throw new ApiError('VALIDATION_FAILED', {
    sentence: `properties must not be longer than ${MAX_PROPERTIES_BYTES} bytes`,
  });
}

interface EventRoutesOptions {
  readonly recorder: EventRecorder;
  readonly callerDatabase: CallerDatabase;
}

/** Serves the recording of uses of an extension's features, and their counts. */
export const eventRoutes: FastifyPluginAsyncTypebox<EventRoutesOptions> = async (app, { recorder, callerDatabase }) => {
  describeRoutes(app, { tags: ['Feature events'] });

  app.post(
    '/events',
    {
      schema: {
        operationId: 'recordEvent',
        summary: 'Record the use of a feature',
        body: FeatureEventSchema,
        response: { 201: RecordedFeatureSchema },
      },
    },
    async (request, reply) => {
      requireShortProperties(request.body.properties);
      return reply.code(201).send(await recorder(getUser(request), request.body, request.raw.socket));
    },
  );

  app.get(
    '/events/summary',
    {
      config: { apiKeyScope: 'usage:read' },
      schema: {
        operationId: 'summarizeEvents',
        summary: 'Count your uses of features over a range of days',
        querystring: SummaryQuerySchema,
        response: { 200: FeatureSummarySchema },
      },
    },
    async (request) => {
      const { name, group_by } = request.query;
      const args = {
        ...toTimeRangeArguments(request.query),
        p_by_day: group_by === 'day',
        ...(name !== undefined && { p_name: name }),
      };
      return await callerDatabase.call(getUser(request), 'summarize_features', args, FeatureSummarySchema);
    },
  );
};
