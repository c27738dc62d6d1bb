import { Type } from '@sinclair/typebox';
import { NextCursor, PageQuery } from '../../platform/http/pagination.js';

/** What can happen, as webhooks name it. */
export const EVENT_TYPES = [
  'balance.threshold',
  'balance.exhausted',
  'device.registered',
  'device.blocked',
  'subscription.changed',
  'period.reset',
  'ledger.discrepancy',
] as const;

const EventTypeSchema = Type.Union(EVENT_TYPES.map((type) => Type.Literal(type)));
const Id = Type.String({ format: 'uuid' });
const NullableText = Type.Union([Type.String(), Type.Null()]);
const NullableTime = (description: string) => Type.Union([Type.String({ description }), Type.Null()]);

export const CreateWebhookSchema = Type.Object(
  {
    url: Type.String({
      minLength: 1,
      maxLength: 2_000,
      description: 'Where events are sent by POST: https, on the public internet, unless the server allows others.',
    }),
    events: Type.Optional(
      Type.Array(EventTypeSchema, { minItems: 1, maxItems: 50, uniqueItems: true, description: 'All unless given.' }),
    ),
    description: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
  },
  { additionalProperties: false },
);

export const WebhookSchema = Type.Object({
  id: Id,
  url: Type.String(),
  events: Type.Array(Type.String()),
  description: NullableText,
  created_by: Type.String({ examples: ['admin:root'] }),
  created_at: Type.String(),
  disabled_at: NullableTime('When it answered 410 Gone, and gets nothing more since; a test enables it again.'),
  pending: Type.Integer({ description: 'Events that wait for it.' }),
  failed: Type.Integer({ description: 'Events that were given up in the last 30 days.' }),
});

export const CreatedWebhookSchema = Type.Composite([
  WebhookSchema,
  Type.Object({
    secret: Type.String({ description: 'Shown only now: what signatures are checked with (Standard Webhooks).' }),
  }),
]);

export const WebhooksSchema = Type.Object({ webhooks: Type.Array(WebhookSchema) });
export const WebhookParamsSchema = Type.Object({ id: Id });
export const DeletedWebhookSchema = Type.Object({ deleted: Type.Literal(true) });

export const DeliverySchema = Type.Object({
  id: Type.Integer(),
  event_id: Type.String({ description: 'The header webhook-id, the same at every endpoint and every attempt.' }),
  type: Type.String(),
  data: Type.Unknown(),
  occurred_at: Type.String(),
  status: Type.String({ description: 'pending, delivered or failed.' }),
  attempts: Type.Integer(),
  next_attempt_at: NullableTime('When it is tried next.'),
  attempted_at: NullableTime('When it was tried last.'),
  response_status: Type.Union([Type.Integer({ description: 'How the endpoint answered last.' }), Type.Null()]),
  failure: Type.Union([Type.String({ description: 'Why the last attempt failed, as a code.' }), Type.Null()]),
});

export const DeliveriesQuerySchema = Type.Object(
  {
    ...PageQuery,
    status: Type.Optional(Type.Union([Type.Literal('pending'), Type.Literal('delivered'), Type.Literal('failed')])),
  },
  { additionalProperties: false },
);
export const DeliveriesSchema = Type.Object({ deliveries: Type.Array(DeliverySchema), next_cursor: NextCursor });
export const DeliveryParamsSchema = Type.Object({
  id: Id,
  delivery_id: Type.String({ pattern: '^[1-9][0-9]{0,14}$' }),
});
