import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { type DeviceIdentity, deviceOf, issueDeviceToken, requireDevice } from '../../auth/guards/device-guard.js';
import { registrationLimit } from '../../auth/limits/rate-limits.js';
import { idempotencyKeyOf } from '../../metering/idempotency-key.js';
import { ApiError } from '../../platform/errors.js';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import type { Use } from './device-meter.js';
import { assertEnrollable, registerDevice, registrantOf } from './register.js';
import {
  CheckedUseSchema,
  CheckUseSchema,
  DeviceBalanceSchema,
  DeviceParamsSchema,
  LoggedUsageSchema,
  type LogUsage,
  LogUsageSchema,
  RegisterDeviceSchema,
  RegisteredDeviceSchema,
} from './schemas.js';

const tags = ['Devices'];
const security = [{ deviceToken: [] }];

/** The device itself where it is the one named; another's id is answered like an unknown one. */
function namedDevice(request: FastifyRequest, id: string): DeviceIdentity {
  const device = deviceOf(request);
  if (device.id !== id.toLowerCase()) throw new ApiError('DEVICE_NOT_FOUND');
  return device;
}

function useOf(request: FastifyRequest, body: Pick<LogUsage, 'model_type' | 'prompt_count' | 'event_id'>): Use {
  return {
    model: body.model_type,
    promptCount: body.prompt_count,
    idempotencyKey: idempotencyKeyOf(request, body.event_id),
  };
}

/** `POST /devices/register`, open to everyone the enrollment policy lets in. */
export const registrationRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  const { config, database } = services;
  app.post(
    '/devices/register',
    {
      onRequest: registrationLimit(app),
      schema: {
        tags,
        // With or without: a user's bearer links the device.
        security: [{}, { userToken: [] }],
        summary: 'Register a device, or find it again by its fingerprint',
        body: RegisterDeviceSchema,
        response: { 200: RegisteredDeviceSchema, 201: RegisteredDeviceSchema, ...errors(400, 401, 403, 413, 415) },
      },
    },
    async (request, reply) => {
      assertEnrollable(config, request.body.enrollment_key);
      const registrant = await registrantOf(app, services, request);
      const device = await registerDevice(database, config, request.body, registrant);
      const token = issueDeviceToken(app, { id: device.device_id, tokenVersion: device.token_version });
      reply.code(device.created ? 201 : 200);
      return {
        device_id: device.device_id,
        device_token: token,
        allocation: device.allocated,
        remaining: device.remaining,
        ...(device.linked !== undefined && { linked: device.linked }),
      };
    },
  );
};

/** What a device does with its own balance. */
export const deviceRoutes: FastifyPluginAsyncTypebox<Services> = async (app, { deviceMeter }) => {
  requireDevice(app);

  app.get(
    '/devices/:id/tokens',
    {
      schema: {
        tags,
        security,
        summary: "The device's balance",
        params: DeviceParamsSchema,
        response: { 200: DeviceBalanceSchema, ...errors(400, 401, 403, 404) },
      },
    },
    async (request) => {
      const balance = await deviceMeter.balance(namedDevice(request, request.params.id));
      return { ...balance, can_use_tokens: balance.remaining > 0 };
    },
  );

  app.post(
    '/devices/check-can-use',
    {
      schema: {
        tags,
        security,
        summary: 'Whether a use is affordable, holding its tokens if asked to',
        body: CheckUseSchema,
        response: { 200: CheckedUseSchema, ...errors(400, 401, 403, 413, 415, 422) },
      },
    },
    (request) => deviceMeter.check(deviceOf(request), useOf(request, request.body), request.body.reserve),
  );

  const usage = {
    tags,
    security,
    body: LogUsageSchema,
    response: { 200: LoggedUsageSchema, ...errors(400, 401, 403, 404, 409, 413, 415, 422) },
  };

  app.post(
    '/devices/:id/usage',
    { schema: { ...usage, summary: 'Record a use and debit it', params: DeviceParamsSchema } },
    (request) => {
      const device = namedDevice(request, request.params.id);
      return deviceMeter.debit(device, useOf(request, request.body), request.body.reservation_id);
    },
  );

  app.post(
    '/usage/log',
    { schema: { ...usage, summary: 'Record a use of the device whose token is sent, and debit it' } },
    (request) => deviceMeter.debit(deviceOf(request), useOf(request, request.body), request.body.reservation_id),
  );
};
