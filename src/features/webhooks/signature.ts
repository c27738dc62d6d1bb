import { createHmac, randomBytes } from 'node:crypto';

const PREFIX = 'whsec_';

/** Creates a secret as Standard Webhooks write them: 192 random bits in base64, behind `whsec_`. */
export function createWebhookSecret(): string {
  return PREFIX + randomBytes(24).toString('base64');
}

/**
 * Returns the headers that sign a message, as Standard Webhooks want them.
 * @param id the event's, the same at every attempt
 * @param at when the attempt is made, in milliseconds
 */
export function signWebhook(secret: string, id: string, at: number, body: string): Record<string, string> {
  const timestamp = Math.floor(at / 1_000);
  const key = Buffer.from(secret.slice(PREFIX.length), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': `v1,${signature}`,
  };
}
