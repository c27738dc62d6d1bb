import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getDeviceOrUser } from '../../auth/guards/device-or-user-guard.js';
import { ApiError } from '../../platform/errors.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import type { EventRecorder } from './event-recorder.js';
import { FeatureEventSchema, RecordedFeatureSchema } from './schemas.js';

const MAX_PROPERTIES_BYTES = 4_096;

/** Rejects properties that are too long as JSON. @throws {ApiError} VALIDATION_FAILED */
function requireShortProperties(properties: object | undefined): void {
  if (Buffer.byteLength(JSON.stringify(properties ?? {})) <= MAX_PROPERTIES_BYTES) return;
  throw new ApiError('VALIDATION_FAILED', {
    sentence: `properties must not be longer than ${MAX_PROPERTIES_BYTES} bytes`,
  });
}

interface RecordingOptions {
  readonly recorder: EventRecorder;
}

/** Serves the recording of uses of an extension's features, by people and devices. */
export const recordingRoutes: FastifyPluginAsyncTypebox<RecordingOptions> = async (app, { recorder }) => {
  describeRoutes(app, { tags: ['Feature events'] });

  app.post(
    '/events',
    {
      schema: {
        operationId: 'recordEvent',
        summary: 'Record the use of a feature',
        description: 'Those of a device that is linked to a person are theirs.',
        body: FeatureEventSchema,
        response: { 201: RecordedFeatureSchema },
      },
    },
    async (request, reply) => {
      requireShortProperties(request.body.properties);
      return reply.code(201).send(await recorder(getDeviceOrUser(request), request.body, request.raw.socket));
    },
  );
};
