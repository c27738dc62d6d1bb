import type { Static } from '@sinclair/typebox';
import type { PlansSchema, SubscriptionSchema } from '../../../features/subscriptions/schemas.js';

/** The subscription of the person, and the tier in force. */
export type Subscription = Static<typeof SubscriptionSchema>;
/** A tier, what it is worth and what it costs. */
export type Plan = Static<typeof PlansSchema>['plans'][number];
/** A tier that is paid for. */
export type PaidTier = Exclude<Plan['tier'], 'free'>;
