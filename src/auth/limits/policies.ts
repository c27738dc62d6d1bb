import type { Config } from '../../config/config.js';
import type { Charge } from './counters.js';

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

/** A policy as it applies to one subject or address; its amount is 0 where the request only must not find it used up. */
export interface Quota extends Charge {
  readonly policy: Policy;
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

/** The policies of one kind of subject. */
interface KindPolicies {
  readonly requests: Policy;
  /** Of the tokens it may use in a minute; undefined where it uses none. */
  readonly tokens?: Policy;
}

/** The policies of all kinds of subjects. */
export type SubjectPolicies = Readonly<Record<Subject['kind'], KindPolicies>>;

/** Builds the policies of all kinds of subjects. */
export function toPolicies({ requests, tokens }: LimitsConfig): SubjectPolicies {
  const ofRequests = (kind: Subject['kind']) => ({ requests: perMinute(kind, ...requests[kind]) });
  const withTokens = (kind: 'device' | 'user'): KindPolicies => ({
    ...ofRequests(kind),
    tokens: { ...perMinute(`${kind}-tokens`, ...tokens[kind]), unit: 'tokens' },
  });
  return {
    device: withTokens('device'),
    user: withTokens('user'),
    'api-key': ofRequests('api-key'),
    admin: ofRequests('admin'),
    tracker: ofRequests('tracker'),
  };
}

/** Returns a policy as it applies under a key. @param accountId the account whose tier decides, if one does */
export const toQuota = (policy: Policy, key: string, amount = 1, accountId?: string): Quota => ({
  policy,
  key,
  windowSeconds: policy.windowSeconds,
  amount,
  accountId,
});

/**
 * Returns what a request of a subject counts against.
 * @param spendsTokens whether the request is to be refused where the subject has used too many tokens lately
 */
export function toQuotas(policies: SubjectPolicies, subject: Subject, spendsTokens: boolean): Quota[] {
  const { kind, id } = subject;
  const { requests, tokens } = policies[kind];
  const accountId = kind === 'user' ? id : undefined;
  const counted = toQuota(requests, `${kind}:${id}`, 1, accountId);
  if (!spendsTokens || tokens === undefined) return [counted];
  return [counted, toQuota(tokens, toTokensKey(subject), 0, accountId)];
}
