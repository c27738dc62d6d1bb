import type { Static } from '@sinclair/typebox';
import type { PurchaseSchema } from '../../features/subscriptions/schemas.js';
import { sendOpenly } from '../foundation/api/api.js';
import { ApiFailure } from '../foundation/api/failure.js';

/** What was bought on a payment page, as far as it is known by now. */
export type Purchase = Static<typeof PurchaseSchema>;

/** How it stands with a payment. `late` when it was asked for long enough. */
export interface Progress {
  readonly purchase?: Purchase;
  readonly failure?: ApiFailure;
  readonly late?: boolean;
}

/** Pauses between questions, in milliseconds: Stripe usually tells the server within seconds. */
const PAUSES_MS = [1_000, 2_000, 3_000, 5_000, 8_000, 13_000, 20_000, 30_000];
const WORTH_ASKING_AGAIN = ['NO_ANSWER', 'SERVICE_UNAVAILABLE', 'RATE_LIMITED'];

/** Takes the id of the payment page out of the address, so that it is in no history or bookmark; a reload keeps it. */
export function takeCheckoutId(): string {
  const id = location.hash.slice(1) || (sessionStorage.getItem('tokenledger.checkout') ?? '');
  if (id !== '') sessionStorage.setItem('tokenledger.checkout', id);
  history.replaceState(null, '', location.pathname);
  return id;
}

async function ask(checkout_id: string): Promise<Progress> {
  try {
    return { purchase: await sendOpenly<Purchase>('subscriptions/purchase', { checkout_id }) };
  } catch (error) {
    if (!(error instanceof ApiFailure)) throw error;
    return { failure: error };
  }
}

/** Asks until the purchase is complete, for about a minute and a half. @param isCurrent whether anybody still waits for it */
export async function follow(id: string, isCurrent: () => boolean, tell: (progress: Progress) => void): Promise<void> {
  let progress: Progress = {};
  for (const pause of [0, ...PAUSES_MS]) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    progress = await ask(id);
    if (!isCurrent()) return;
    tell(progress);
    const isOver = progress.purchase?.status === 'granted';
    const isRefused = progress.failure !== undefined && !WORTH_ASKING_AGAIN.includes(progress.failure.code);
    if (isOver || isRefused) return;
  }
  tell({ ...progress, late: true });
}
