import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { LRUCache } from 'lru-cache';
import type { Config } from '../../../config/config.js';
import { ApiError } from '../../../platform/errors.js';
import { isPlainModel } from '../request/extras.js';
import type { Upstream } from './upstream.js';

/** A model's name, as requests give it. */
export const ModelSchema = Type.String({
  pattern: '^[\\x21-\\x7e]{1,200}$',
  description: 'A model, by its name upstream.',
  examples: ['openai/gpt-4'],
});

/** How long the list is good for before it is fetched again. */
const CACHE_MS = 10 * 60_000;
/** How long chat requests do without a list that could not be fetched, before one of them has it fetched again. */
const RETRY_MS = 60_000;
const LimitSchema = Type.Optional(Type.Union([Type.Integer(), Type.Null()]));
const UpstreamModelSchema = Type.Object({
  id: Type.String(),
  created: Type.Optional(Type.Integer()),
  context_length: LimitSchema,
  top_provider: Type.Optional(Type.Union([Type.Object({ max_completion_tokens: LimitSchema }), Type.Null()])),
  pricing: Type.Optional(Type.Unknown()),
});
export type UpstreamModel = Static<typeof UpstreamModelSchema>;
const UpstreamModelsSchema = Type.Object({ data: Type.Array(Type.Unknown()) });

/**
 * Fetches upstream's list of models; what is no model in it is left out.
 * @throws {ApiError} as upstream does, and UPSTREAM_FAILED for what is no list
 */
export async function fetchModels(upstream: Upstream): Promise<UpstreamModel[]> {
  const answer = await upstream.fetchJson('/models');
  if (!Value.Check(UpstreamModelsSchema, answer)) throw new ApiError('UPSTREAM_FAILED');
  return answer.data.filter((model) => Value.Check(UpstreamModelSchema, model));
}

/** A model as the OpenAI wire format lists it. */
export interface ListedModel {
  readonly id: string;
  readonly object: 'model';
  readonly created: number;
  readonly owned_by: string;
}

/** The models of upstream that are offered here. */
export interface Models {
  /**
   * Returns the model that was asked for, or the default model.
   * @throws {ApiError} MODEL_NOT_ALLOWED
   */
  readonly choose: (model: string | undefined) => string;
  /**
   * Lists the models on offer.
   * @throws {ApiError} as upstream does, where neither upstream nor the configuration names any
   */
  readonly list: () => Promise<readonly ListedModel[]>;
  /**
   * Returns one of the models on offer.
   * @throws {ApiError} MODEL_NOT_FOUND, or as `list`
   */
  readonly get: (id: string) => Promise<ListedModel>;
  /**
   * Returns the most tokens a model can answer with; undefined where that is not known yet. It never waits: the list is
   * fetched in the background.
   */
  readonly outputLimit: (model: string) => number | undefined;
}

const toOwner = (id: string) => id.split('/')[0] ?? id;

function toOutputLimit(model: UpstreamModel): number | undefined {
  const limits = [model.top_provider?.max_completion_tokens, model.context_length];
  return limits.find((limit) => typeof limit === 'number' && limit > 0) ?? undefined;
}

/** Builds the list of models, fetched from upstream when it is needed and kept for ten minutes. */
export function createModels(config: NonNullable<Config['chat']>, upstream: Upstream): Models {
  const allowed = config.models === undefined ? undefined : new Set(config.models);
  const isOffered = (model: string) => allowed === undefined || allowed.has(model);
  // What the operator names is as it should be.
  const isNamed = (model: string) => allowed?.has(model) === true || model === config.defaultModel;

  const lists = new LRUCache<'models', Map<string, UpstreamModel>>({
    max: 1,
    ttl: CACHE_MS,
    allowStale: true,
    fetchMethod: async () => new Map((await fetchModels(upstream)).map((model) => [model.id, model])),
  });

  const list = async (): Promise<ListedModel[]> => {
    const known = await lists.fetch('models').catch((error: unknown) => {
      if (allowed === undefined) throw error;
      return undefined;
    });
    const ids = known === undefined ? [...(allowed ?? [])] : [...known.keys()].filter(isOffered);
    return ids.map((id) => ({ id, object: 'model', created: known?.get(id)?.created ?? 0, owned_by: toOwner(id) }));
  };

  let triedAt = Number.NEGATIVE_INFINITY;
  const fetchInBackground = () => {
    if (lists.has('models') || performance.now() - triedAt < RETRY_MS) return;
    triedAt = performance.now();
    void lists.fetch('models').catch(() => {});
  };

  return {
    list,
    choose: (model = config.defaultModel) => {
      const isPlain = config.hasExtras || isNamed(model) || isPlainModel(model);
      if (!isPlain || !isOffered(model)) throw new ApiError('MODEL_NOT_ALLOWED');
      return model;
    },
    get: async (id) => {
      const found = (await list()).find((model) => model.id === id);
      if (found === undefined) throw new ApiError('MODEL_NOT_FOUND');
      return found;
    },
    outputLimit: (model) => {
      const known = lists.peek('models', { allowStale: true });
      fetchInBackground();
      // Suffixes that choose among providers are not listed.
      const found = known?.get(model) ?? known?.get(model.split(':')[0] ?? model);
      return found === undefined ? undefined : toOutputLimit(found);
    },
  };
}
