/** The tiers there are, the least first. */
export const TIERS = ['free', 'pro', 'premium'] as const;
export type Tier = (typeof TIERS)[number];
