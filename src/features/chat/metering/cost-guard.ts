import { ApiError } from '../../../platform/errors.js';
import { toFields, toList } from '../json-fields.js';
import type { Models } from '../openrouter/models.js';
import type { ModelPrice } from './money.js';
import type { OutputLimit } from './request-estimate.js';

/** What the operator lets one request cost. */
export interface CostGuard {
  /** Most tokens that its answer may come to, after what the prompt costs. */
  readonly mostTokens: number;
  /** In nano-dollars. */
  readonly mostNanoUsd: number;
}

const refuse = (mostTokens: number) =>
  new ApiError('COST_LIMIT_EXCEEDED', { extras: { most_tokens: Math.max(mostTokens, 0) } });

/**
 * Returns what is left for an answer, by upstream's list prices.
 * @param inputEstimate tokens the prompt is estimated at
 * @throws {ApiError} COST_LIMIT_EXCEEDED: the prompt alone may cost more
 */
function createCostGuard(mostNanoUsd: number, price: ModelPrice, inputEstimate: number): CostGuard {
  const left = mostNanoUsd - price.request - inputEstimate * price.input;
  if (left < 0) throw refuse(0);
  return { mostNanoUsd, mostTokens: price.output === 0 ? Number.POSITIVE_INFINITY : Math.floor(left / price.output) };
}

/**
 * Returns what a request may cost, where the operator limits that: then, and only then, it waits for the prices.
 * @param request with the models that upstream may fall back to
 * @throws {ApiError} COST_LIMIT_EXCEEDED, MODEL_PRICE_UNKNOWN, and as upstream does where it has to be asked
 */
export async function findCostGuard(
  models: Models,
  mostNanoUsd: number | undefined,
  request: { readonly model: string; readonly body: Readonly<Record<string, unknown>> },
  inputEstimate: number,
): Promise<CostGuard | undefined> {
  if (mostNanoUsd === undefined) return undefined;
  const { models: others, fallbacks } = request.body;
  const fallbackNames = toList(fallbacks).map((fallback) => toFields(fallback)['model']);
  const names = [request.model, ...[...toList(others), ...fallbackNames].filter((name) => typeof name === 'string')];
  return createCostGuard(mostNanoUsd, await models.requirePrice(names), inputEstimate);
}

/**
 * Limits an answer to what it may cost: one whose request names no limit is made as short as that, upstream too.
 * @throws {ApiError} COST_LIMIT_EXCEEDED: as long as the request lets it become, it may cost more
 */
export function limitCost(limit: OutputLimit, guard: CostGuard | undefined): OutputLimit {
  if (guard === undefined || limit.wantedTokens === 0) return limit;
  const { mostTokens } = guard;
  if (mostTokens < (limit.isRequested ? limit.wantedTokens : 1)) throw refuse(mostTokens);
  return {
    ...limit,
    wantedTokens: Math.min(limit.wantedTokens, mostTokens),
    toUpstreamLimits: (grantedTokens) => limit.toUpstreamLimits(grantedTokens, mostTokens),
  };
}
