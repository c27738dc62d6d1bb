import { Type } from '@sinclair/typebox';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { parsePrice } from './metering/money.js';
import { toFields } from './openrouter/fields.js';
import { fetchModels } from './openrouter/models.js';
import type { Upstream } from './openrouter/upstream.js';

/** How long weights are good for. */
const REFRESH_MS = 60 * 60_000;
/** Nano-dollars a token at one dollar for a million of them. */
const NANOS_PER_PRICE = 1_000;
/** No price makes tokens free: that is for the operator to decide. */
const MIN_WEIGHT = 0.01;
const MAX_WEIGHT = 1_000_000;

const RefreshSchema = Type.Object({ changed: Type.Integer(), removed: Type.Integer() });

/** A model's weight, as the SQL function takes it. */
type ModelWeight = Readonly<Record<'model', string> & Record<'input_weight' | 'output_weight', number>>;

/** @throws {ApiError} as upstream does, and UPSTREAM_FAILED where it lists no price at all */
async function fetchWeights(upstream: Upstream, weightPrice: number): Promise<ModelWeight[]> {
  const toWeight = (nanos: number) =>
    Math.min(Math.max(nanos / (weightPrice * NANOS_PER_PRICE), MIN_WEIGHT), MAX_WEIGHT);
  const weights = (await fetchModels(upstream)).flatMap(({ id, pricing }) => {
    const price = parsePrice(toFields(pricing));
    if (price === undefined || id.length > 200) return [];
    return [{ model: id, input_weight: toWeight(price.input), output_weight: toWeight(price.output) }];
  });
  if (weights.length > 0) return weights;
  throw new ApiError('UPSTREAM_FAILED', { cause: new Error('upstream lists no prices to weigh models by') });
}

/**
 * Builds the job that weighs models by upstream's prices, hourly. Where they are to decide nothing, it removes the weights
 * that came from them, once.
 *
 * @param weightPrice US dollars for a million tokens that weigh 1
 */
export function createModelWeighing(
  database: Database,
  upstream: Upstream,
  weightPrice: number | undefined,
): () => Promise<void> {
  let dueAt = Number.NEGATIVE_INFINITY;
  return async () => {
    if (performance.now() < dueAt) return;
    const weights = weightPrice === undefined ? [] : await fetchWeights(upstream, weightPrice);
    await database.call('refresh_model_weights', { p_weights: weights }, RefreshSchema);
    dueAt = weightPrice === undefined ? Number.POSITIVE_INFINITY : performance.now() + REFRESH_MS;
  };
}
