import type { FastifyReply } from 'fastify';
import type { Config } from '../../config/config.js';
import { ApiError } from '../../platform/errors.js';
import { reportLimited } from '../../platform/metrics/report.js';
import type { Count, Counters } from './counters.js';
import { type Policy, type Quota, type Subject, toPolicies, toQuota, toQuotas, toTokensKey } from './policies.js';
import { appendRateLimit, type QuotaState } from './rate-limit-header.js';
import type { FindTier } from './tiers.js';

/** Limits what everybody may do; the counters decide whether servers count together. */
export interface Limiter {
  /**
   * Counts a request of subjects, and tells the answer what is left to them.
   * @param spendsTokens whether the request uses tokens, and so must wait where too many were used lately
   * @throws {ApiError} RATE_LIMITED
   */
  readonly admit: (reply: FastifyReply, subjects: readonly Subject[], spendsTokens: boolean) => Promise<void>;
  /**
   * Counts an act, whatever route it came by.
   * @param key whose act it is: an address, an account
   * @param reply is told what is left, where it is given
   * @throws {ApiError} RATE_LIMITED
   */
  readonly count: (policy: Policy, key: string, reply?: FastifyReply) => Promise<void>;
  /**
   * Makes a check that somebody may fail on purpose, and counts only what fails: an {@link ApiError} below 500, but for
   * RATE_LIMITED. Beyond the policy nothing is checked any more. Checks under way count as failed, so that many at once gain nothing.
   * @throws {ApiError} RATE_LIMITED, or what the check throws
   */
  readonly attempt: <T>(policy: Policy, key: string, check: () => Promise<T>) => Promise<T>;
  /** Counts the tokens a subject used, once that is known; its next requests find them. */
  readonly spend: (subject: Subject, tokens: number) => Promise<void>;
  /** Counts what is no act, such as places that are held. */
  readonly add: Counters['add'];
  /** Returns what whoever watches the server should know; undefined while all is well. */
  readonly findProblem: () => string | undefined;
}

/** Lets everybody do everything. */
export const UNLIMITED: Limiter = {
  admit: async () => {},
  count: async () => {},
  attempt: (_policy, _key, check) => check(),
  spend: async () => {},
  add: (charges) => charges.map(() => ({ used: 0, resetsInMs: 0 })),
  findProblem: () => undefined,
};

/** Tells whether an error says that what was checked is wrong, and not that it could not be checked. */
const isFailure = (error: unknown) =>
  error instanceof ApiError && error.statusCode < 500 && error.code !== 'RATE_LIMITED';

const NOTHING: Count = { used: 0, resetsInMs: 0 };

/** Returns how a quota stands, by the limit of a tier. */
function toState({ policy, amount }: Quota, { used, resetsInMs }: Count, tier: number): QuotaState {
  const limit = policy.quotas[Math.min(tier, policy.quotas.length - 1)] ?? 0;
  return { policy, limit, used, resetsInMs, isExceeded: amount === 0 ? used >= limit : used > limit };
}

/** Creates the limiter over counters. @param findTier tells an account's tier, asked only beyond the lowest tier's quota */
export function createLimiter(config: NonNullable<Config['limits']>, counters: Counters, findTier: FindTier): Limiter {
  const policies = toPolicies(config);

  const enforce = async (quotas: readonly Quota[], reply: FastifyReply | undefined): Promise<void> => {
    const counts = await counters.add(quotas);
    const states: QuotaState[] = [];
    for (const [position, quota] of quotas.entries()) {
      const count = counts[position] ?? NOTHING;
      const state = toState(quota, count, 0);
      const { accountId } = quota;
      const isAsked = state.isExceeded && accountId !== undefined;
      states.push(isAsked ? toState(quota, count, await findTier(accountId)) : state);
    }
    if (reply !== undefined) appendRateLimit(reply, states);
    const exceeded = states.filter(({ isExceeded }) => isExceeded);
    if (exceeded.length === 0) return;
    reportLimited(exceeded[0]?.policy.name ?? 'unknown');
    const retry_after = Math.max(...exceeded.map(({ resetsInMs }) => Math.ceil(resetsInMs / 1_000)));
    throw new ApiError('RATE_LIMITED', { extras: { retry_after, limit: exceeded[0]?.policy.name } });
  };

  const toNamedQuota = (policy: Policy, key: string, amount = 1) => toQuota(policy, `${policy.name}:${key}`, amount);

  return {
    findProblem: counters.findProblem,
    add: counters.add,
    admit: (reply, subjects, spendsTokens) =>
      enforce(
        subjects.flatMap((subject) => toQuotas(policies, subject, spendsTokens)),
        reply,
      ),
    count: (policy, key, reply) => enforce([toNamedQuota(policy, key)], reply),
    attempt: async (policy, key, check) => {
      await enforce([toNamedQuota(policy, key)], undefined);
      try {
        const result = await check();
        await counters.add([toNamedQuota(policy, key, -1)]);
        return result;
      } catch (error) {
        if (!isFailure(error)) await counters.add([toNamedQuota(policy, key, -1)]);
        throw error;
      }
    },
    spend: async (subject, tokens) => {
      const policy = policies[subject.kind].tokens;
      if (policy !== undefined && tokens > 0) await counters.add([toQuota(policy, toTokensKey(subject), tokens)]);
    },
  };
}
