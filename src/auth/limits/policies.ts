import type { Config } from '../../config/config.js';

/** What may be done how often in a window of time. */
export interface Policy {
  /** What the answer's headers call it. */
  readonly name: string;
  /** For accounts, one number for each tier, the lowest first; otherwise one number. */
  readonly quotas: readonly number[];
  readonly windowSeconds: number;
  /** What is counted, where it is not requests. */
  readonly unit?: 'tokens' | undefined;
}

/** Who sends requests, once a credential told. An API key counts beside the account it belongs to. */
export interface Subject {
  readonly kind: 'device' | 'user' | 'api-key' | 'admin' | 'tracker';
  readonly id: string;
}

/** A policy as it applies to one subject or address. */
export interface Quota extends Policy {
  readonly key: string;
  /** What the request adds; 0 where it only must not find the quota used up. */
  readonly amount: number;
  /** The account whose tier decides which of the quotas holds. */
  readonly accountId?: string | undefined;
}

type LimitsConfig = NonNullable<Config['limits']>;

const MINUTE_SECONDS = 60;

/** Questions about access tokens that Google answers with no, of one address: each of them costs a call there. */
export const WRONG_GOOGLE_TOKENS: Policy = { name: 'google-tokens', quotas: [30], windowSeconds: MINUTE_SECONDS };
/** Tracker tokens given out to one address for one account: a stranger's must not use up the owner's. */
export const TRACKER_SIGNUPS: Policy = { name: 'signups', quotas: [20], windowSeconds: MINUTE_SECONDS };

/** Returns the policy of so many acts a minute. */
export const perMinute = (name: string, ...quotas: readonly number[]): Policy => ({
  name,
  quotas,
  windowSeconds: MINUTE_SECONDS,
});

/** Returns the key of the tokens a subject used lately. */
export const toTokensKey = ({ kind, id }: Subject): string => `${kind}-tokens:${id}`;

/** Returns the policy of the tokens a kind of subject may use in a minute; undefined where it uses none. */
export function findTokenPolicy({ tokens }: LimitsConfig, kind: Subject['kind']): Policy | undefined {
  if (kind !== 'device' && kind !== 'user') return undefined;
  return { ...perMinute(`${kind}-tokens`, ...tokens[kind]), unit: 'tokens' };
}

/**
 * Returns what a request of a subject counts against.
 * @param spendsTokens whether the request is to be refused where the subject has used too many tokens lately
 */
export function toQuotas(config: LimitsConfig, subject: Subject, spendsTokens: boolean): Quota[] {
  const { kind, id } = subject;
  const account = kind === 'user' ? { accountId: id } : {};
  const requests = { ...perMinute(kind, ...config.requests[kind]), key: `${kind}:${id}`, amount: 1, ...account };
  const policy = spendsTokens ? findTokenPolicy(config, kind) : undefined;
  if (policy === undefined) return [requests];
  return [requests, { ...policy, key: toTokensKey(subject), amount: 0, ...account }];
}
