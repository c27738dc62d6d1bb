import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { LRUCache } from 'lru-cache';
import type { Config } from '../../../config/config.js';
import { ApiError } from '../../../platform/errors.js';
import type { Upstream } from './upstream.js';

const KEPT_MS = 10 * 60_000;
const Limit = Type.Optional(Type.Union([Type.Integer(), Type.Null()]));
const UpstreamModelSchema = Type.Object({
  id: Type.String(),
  created: Type.Optional(Type.Integer()),
  context_length: Limit,
  top_provider: Type.Optional(Type.Union([Type.Object({ max_completion_tokens: Limit }), Type.Null()])),
});
type UpstreamModel = Static<typeof UpstreamModelSchema>;
const UpstreamModelsSchema = Type.Object({ data: Type.Array(Type.Unknown()) });

/** A model as the OpenAI wire format lists it. */
export interface ListedModel {
  readonly id: string;
  readonly object: 'model';
  readonly created: number;
  readonly owned_by: string;
}

/** The models upstream has, as far as they are offered here. */
export interface Models {
  /**
   * @returns what was asked for, or the standard model
   * @throws {ApiError} MODEL_NOT_ALLOWED
   */
  readonly choose: (model: string | undefined) => string;
  /** @throws {ApiError} of upstream, where nothing says what there is */
  readonly list: () => Promise<readonly ListedModel[]>;
  /**
   * Tokens an answer of a model can have at most; undefined where that is not known yet. It never waits: the list is
   * fetched behind it.
   */
  readonly ceilingOf: (model: string) => number | undefined;
}

const ownerOf = (id: string) => id.split('/')[0] ?? id;

function ceiling(model: UpstreamModel): number | undefined {
  const limits = [model.top_provider?.max_completion_tokens, model.context_length];
  return limits.find((limit) => typeof limit === 'number' && limit > 0) ?? undefined;
}

export function createModels(config: NonNullable<Config['chat']>, upstream: Upstream): Models {
  const allowed = config.models === undefined ? undefined : new Set(config.models);
  const isOffered = (model: string) => allowed === undefined || allowed.has(model);

  const lists = new LRUCache<'models', Map<string, UpstreamModel>>({
    max: 1,
    ttl: KEPT_MS,
    allowStale: true,
    fetchMethod: async () => {
      const answer = await upstream.read('/models');
      if (!Value.Check(UpstreamModelsSchema, answer)) throw new ApiError('UPSTREAM_FAILED');
      const models = answer.data.filter((model) => Value.Check(UpstreamModelSchema, model));
      return new Map(models.map((model) => [model.id, model]));
    },
  });

  return {
    choose: (model = config.defaultModel) => {
      if (!isOffered(model)) throw new ApiError('MODEL_NOT_ALLOWED');
      return model;
    },
    list: async () => {
      const known = await lists.fetch('models').catch((error: unknown) => {
        if (allowed === undefined) throw error;
        return undefined;
      });
      const ids = known === undefined ? [...(allowed ?? [])] : [...known.keys()].filter(isOffered);
      return ids.map((id) => ({ id, object: 'model', created: known?.get(id)?.created ?? 0, owned_by: ownerOf(id) }));
    },
    ceilingOf: (model) => {
      const known = lists.peek('models', { allowStale: true });
      if (!lists.has('models')) void lists.fetch('models').catch(() => {});
      const found = known?.get(model);
      return found === undefined ? undefined : ceiling(found);
    },
  };
}
