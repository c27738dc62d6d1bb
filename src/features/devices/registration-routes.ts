import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { registrationLimit } from '../../auth/limits/rate-limits.js';
import { signDeviceToken } from '../../auth/tokens/device-tokens.js';
import type { Config } from '../../config/config.js';
import type { Database } from '../../platform/database/client/database.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { authenticateRegistrant, registerDevice, requireEnrollment } from './registration.js';
import { RegisterDeviceSchema, RegisteredDeviceSchema } from './schemas.js';

interface RegistrationOptions {
  readonly database: Database;
  readonly config: Config['devices'];
}

/** Serves `POST /devices/register`, open to everyone the enrollment policy lets in. */
export const registrationRoutes: FastifyPluginAsyncTypebox<RegistrationOptions> = async (app, { database, config }) => {
  // The bearer token is optional: a user's links the device, its own earlier one brings it back.
  const security = [{}, { userToken: [] }, { apiKey: ['account'] }, { deviceToken: [] }];
  describeRoutes(app, { tags: ['Devices'], security });

  app.post(
    '/devices/register',
    {
      onRequest: registrationLimit(app),
      schema: {
        operationId: 'registerDevice',
        summary: 'Register a device, or find it again by its owner and fingerprint',
        body: RegisterDeviceSchema,
        response: { 200: RegisteredDeviceSchema, 201: RegisteredDeviceSchema, ...errors(403) },
      },
    },
    async (request, reply) => {
      requireEnrollment(config, request.body.enrollment_key);
      const registrant = await authenticateRegistrant(app, request, request.body.device_token);
      const device = await registerDevice(database, config, request.body, registrant);
      reply.code(device.created ? 201 : 200);
      return {
        device_id: device.device_id,
        device_token: signDeviceToken(app, { id: device.device_id, tokenVersion: device.token_version }),
        allocation: device.allocated,
        remaining: device.remaining,
        ...(device.linked !== undefined && { linked: device.linked }),
      };
    },
  );
};
