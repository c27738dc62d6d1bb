import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { getDevice } from '../../auth/guards/device-guard.js';
import type { DeviceIdentity } from '../../auth/tokens/device-tokens.js';
import { parseIdempotencyKey } from '../../metering/idempotency-key.js';
import { ApiError } from '../../platform/errors.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import type { DeviceMeter, Use } from './device-meter.js';
import {
  CheckedUseSchema,
  CheckUseSchema,
  DeviceBalanceSchema,
  DeviceParamsSchema,
  LoggedUsageSchema,
  type LogUsage,
  LogUsageSchema,
} from './schemas.js';

/**
 * Returns the device itself where it is the one named; another's id is answered like an unknown one.
 * @throws {ApiError} DEVICE_NOT_FOUND
 */
function requireOwnId(request: FastifyRequest, id: string): DeviceIdentity {
  const device = getDevice(request);
  if (device.id !== id.toLowerCase()) throw new ApiError('DEVICE_NOT_FOUND');
  return device;
}

function toUse(request: FastifyRequest, body: Pick<LogUsage, 'model_type' | 'prompt_count' | 'event_id'>): Use {
  return {
    model: body.model_type,
    promptCount: body.prompt_count,
    idempotencyKey: parseIdempotencyKey(request, body.event_id),
    sender: request.raw.socket,
  };
}

/** Serves what a device does with its own balance: read it, check a use, record one. */
export const balanceRoutes: FastifyPluginAsyncTypebox<{ meter: DeviceMeter }> = async (app, { meter }) => {
  describeRoutes(app, { tags: ['Devices'] });

  app.get(
    '/devices/:id/tokens',
    {
      schema: {
        operationId: 'getDeviceBalance',
        summary: "Read the device's balance",
        params: DeviceParamsSchema,
        response: { 200: DeviceBalanceSchema, ...errors(403, 404) },
      },
    },
    async (request) => {
      const balance = await meter.balance(requireOwnId(request, request.params.id), request.raw.socket);
      return { ...balance, can_use_tokens: balance.remaining > 0 };
    },
  );

  app.post(
    '/devices/check-can-use',
    {
      schema: {
        operationId: 'checkUse',
        takesIdempotencyKey: true,
        summary: 'Check whether a use is affordable, and reserve its tokens if asked to',
        body: CheckUseSchema,
        response: { 200: CheckedUseSchema, ...errors(403, 422) },
      },
    },
    (request) => meter.check(getDevice(request), toUse(request, request.body), request.body.reserve),
  );

  const debit = {
    takesIdempotencyKey: true as const,
    body: LogUsageSchema,
    response: { 200: LoggedUsageSchema, ...errors(403, 404, 409, 422) },
  };

  app.post(
    '/devices/:id/usage',
    {
      config: { spendsTokens: true },
      schema: {
        ...debit,
        operationId: 'recordDeviceUse',
        summary: 'Record a use and debit it',
        params: DeviceParamsSchema,
      },
    },
    (request) => {
      const device = requireOwnId(request, request.params.id);
      return meter.debit(device, toUse(request, request.body), request.body.reservation_id);
    },
  );

  app.post(
    '/usage/log',
    {
      config: { spendsTokens: true },
      schema: {
        ...debit,
        operationId: 'logUsage',
        summary: 'Record a use of the device whose token is sent, and debit it',
      },
    },
    (request) => meter.debit(getDevice(request), toUse(request, request.body), request.body.reservation_id),
  );
};
