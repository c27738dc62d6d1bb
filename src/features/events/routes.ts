import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { requireUser, userOf } from '../../auth/guards/user-guard.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { ApiError } from '../../platform/errors.js';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import { RangeQuery } from '../usage/query-schemas.js';
import { rangeOf } from '../usage/range.js';
import { FeatureEventSchema, FeatureSummarySchema, RecordedFeatureSchema } from './schemas.js';

const tags = ['Features'];
const security = [{ userToken: [] }];
const MAX_PROPERTIES_BYTES = 4_096;
const summaryOf = shapeOf(FeatureSummarySchema);

const SummaryQuerySchema = Type.Object(
  {
    ...RangeQuery,
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 100, description: 'Only this feature.' })),
    group_by: Type.Optional(Type.Union([Type.Literal('name'), Type.Literal('day')], { default: 'name' })),
  },
  { additionalProperties: false },
);

function assertShort(properties: object | undefined): void {
  if (Buffer.byteLength(JSON.stringify(properties ?? {})) <= MAX_PROPERTIES_BYTES) return;
  throw new ApiError('VALIDATION_FAILED', {
    sentence: `properties must not be longer than ${MAX_PROPERTIES_BYTES} bytes`,
  });
}

/** Which features of an extension people use. */
export const featureRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  requireUser(app, services);
  const { featureRecorder, userDatabase } = services;

  app.post(
    '/events',
    {
      schema: {
        tags,
        security,
        summary: 'Record the use of a feature',
        body: FeatureEventSchema,
        response: { 201: RecordedFeatureSchema, ...errors(400, 401, 413, 415) },
      },
    },
    async (request, reply) => {
      assertShort(request.body.properties);
      return reply.code(201).send(await featureRecorder(userOf(request), request.body));
    },
  );

  app.get(
    '/events/summary',
    {
      schema: {
        tags,
        security,
        summary: 'How often the own features were used in a range of days',
        querystring: SummaryQuerySchema,
        response: { 200: FeatureSummarySchema, ...errors(400, 401) },
      },
    },
    async (request) => {
      const { name, group_by } = request.query;
      const question = {
        ...rangeOf(request.query),
        p_by_day: group_by === 'day',
        ...(name !== undefined && { p_name: name }),
      };
      return summaryOf(
        await userDatabase.call(userOf(request), (database) => database.rpc('summarize_features', question)),
      );
    },
  );
};
