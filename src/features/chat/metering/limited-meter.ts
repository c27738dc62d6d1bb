import { LRUCache } from 'lru-cache';
import type { Limiter } from '../../../auth/limits/limiter.js';
import type { Subject } from '../../../auth/limits/policies.js';
import type { ChatMeter, Payer } from './chat-meter.js';

/** Most holds whose payer is remembered until they are settled. */
const MAX_HOLDS = 100_000;

/** Returns whose limits a chat request counts against. */
export function toPayingSubject(payer: Payer): Subject {
  return { kind: 'user', id: 'google_subject' in payer ? `google:${payer.google_subject}` : payer.id };
}

/** Has a meter tell the limiter which tokens were settled; the payer's next request finds them. */
export function limitChatMeter(meter: ChatMeter, limiter: Limiter): ChatMeter {
  const payers = new LRUCache<string, Subject>({ max: MAX_HOLDS });
  return {
    ...meter,
    reserve: async (payer, reservation) => {
      const hold = await meter.reserve(payer, reservation);
      payers.set(hold.id, toPayingSubject(payer));
      return hold;
    },
    settle: async (holdId, report) => {
      const settlement = await meter.settle(holdId, report);
      const subject = payers.get(holdId);
      payers.delete(holdId);
      if (subject !== undefined) await limiter.spend(subject, settlement.tokensUsed);
      return settlement;
    },
  };
}
