import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { ApiError } from '../../platform/errors.js';
import type { Payments } from './payments.js';
import { isStripeError } from './stripe-calls.js';

/** Largest difference between a signature's time and now, in either direction. */
const TOLERANCE_SECONDS = 300;

const EventSchema = Type.Object({
  id: Type.String({ pattern: '^[A-Za-z0-9_]{1,255}$' }),
  type: Type.String({ pattern: '^[a-z0-9_.]{1,100}$' }),
  created: Type.Integer({ minimum: 0, maximum: 253_402_300_799 }),
  livemode: Type.Boolean(),
  data: Type.Object({ object: Type.Object({ id: Type.Optional(Type.String()) }) }),
});
const events = TypeCompiler.Compile(EventSchema);
/** An event as it arrives; its object has the shape of the endpoint's API version. */
export type WebhookEvent = Static<typeof EventSchema>;

/** Parses the time of a signature header, in epoch seconds; undefined unless there is exactly one. */
function parseSignatureTime(header: string): number | undefined {
  const [time, ...others] = header.split(',').filter((item) => item.startsWith('t='));
  return time !== undefined && others.length === 0 && /^t=\d{1,12}$/.test(time) ? Number(time.slice(2)) : undefined;
}

/** Verifies the signature, and only then parses the body. */
function verifySignature({ stripe, webhookSecret }: Payments, header: string, body: Buffer): unknown {
  const time = parseSignatureTime(header);
  // The package rejects signatures that are too old, but accepts any from the future.
  if (time === undefined || time - Date.now() / 1000 > TOLERANCE_SECONDS) throw new ApiError('INVALID_SIGNATURE');
  try {
    return stripe.webhooks.constructEvent(body, header, webhookSecret, TOLERANCE_SECONDS);
  } catch (error) {
    // Without a cause, as the package's errors contain header and body.
    const isSignature = isStripeError(error) && error.type === 'StripeSignatureVerificationError';
    throw new ApiError(isSignature ? 'INVALID_SIGNATURE' : 'VALIDATION_FAILED');
  }
}

/**
 * Verifies that a webhook request is Stripe's, recent, and of our key's mode, and returns its event.
 * @param header `Stripe-Signature`
 * @param body the bytes as they arrived, as the signature covers them
 * @throws {ApiError} INVALID_SIGNATURE, VALIDATION_FAILED, LIVEMODE_MISMATCH
 */
export function verifyEvent(payments: Payments, header: unknown, body: unknown): WebhookEvent {
  if (typeof header !== 'string' || !Buffer.isBuffer(body)) throw new ApiError('INVALID_SIGNATURE');
  const event = verifySignature(payments, header, body);
  if (!events.Check(event)) throw new ApiError('VALIDATION_FAILED', { sentence: 'The body is not an event' });
  if (event.livemode !== payments.livemode) throw new ApiError('LIVEMODE_MISMATCH');
  return event;
}
