import { type Static, Type } from '@sinclair/typebox';

/** The variables about watching the server, and being told by it. */
export const Watching = {
  METRICS_TOKEN: Type.Optional(
    Type.String({
      minLength: 16,
      maxLength: 256,
      pattern: '^[\\x21-\\x7E]+$',
      description: 'The bearer token that GET /metrics asks for; without it only this machine may read them.',
    }),
  ),
  METRICS_PORT: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 65_000,
      description:
        'Also serves them at this port on this machine; of several processes each takes the next. See docs/operations.md.',
    }),
  ),
  LEDGER_CHECK_HOURS: Type.Integer({
    default: 24,
    minimum: 0,
    maximum: 8_760,
    description: 'How often the books are proved, in hours; 0 for only when an admin asks.',
  }),
  WEBHOOK_PRIVATE_ADDRESSES: Type.Union([Type.Literal('refuse'), Type.Literal('allow')], {
    default: 'refuse',
    description: 'allow lets webhooks go to addresses of this machine and its networks, and by plain HTTP.',
  }),
};

const WatchingSchema = Type.Object(Watching);

/** Returns how the server is watched. */
export function toWatchingConfig(environment: Static<typeof WatchingSchema>) {
  return {
    metrics: { token: environment.METRICS_TOKEN, port: environment.METRICS_PORT },
    ledgerCheckHours: environment.LEDGER_CHECK_HOURS,
    webhooks: { allowsPrivate: environment.WEBHOOK_PRIVATE_ADDRESSES === 'allow' },
  };
}
