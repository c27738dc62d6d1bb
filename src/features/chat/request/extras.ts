import { ApiError } from '../../../platform/errors.js';

type Fields = Readonly<Record<string, unknown>>;

/** A member of a request that may cost more than the tokens of its model, and what it would have to be instead. */
export interface Extra {
  /** As in `tools[0].type`. */
  readonly param: string;
  readonly rule: string;
}

/** What is looked at in a request, by the names of its fields: each returns what is wrong with its value. */
export type ExtraChecks = Readonly<Record<string, (value: unknown, name: string) => Extra | undefined>>;

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null;
export const isEmpty = (value: unknown) =>
  value === undefined || value === null || (Array.isArray(value) && value.length === 0);

/** Tools that the client runs; all others are run, and billed, upstream. */
const TOOL_TYPES: readonly unknown[] = ['function', 'custom'];
const CHOICES: readonly unknown[] = ['auto', 'none', 'required', 'any'];
const CHOICE_TYPES: readonly unknown[] = [...TOOL_TYPES, 'allowed_tools', ...CHOICES, 'tool'];
const SERVICE_TIERS: readonly unknown[] = ['auto', 'default', 'standard', 'flex'];
/** Preferences about providers that cannot make the same model more expensive. */
const PROVIDER_PREFERENCES: readonly string[] = [
  'allow_fallbacks',
  'data_collection',
  'enforce_distillable_text',
  'max_price',
  'require_parameters',
  'sort',
  'zdr',
];

export const refuseAny = (value: unknown, name: string): Extra | undefined =>
  isEmpty(value) ? undefined : { param: name, rule: 'is not offered here, as it may cost more than tokens' };

export function checkTools(tools: unknown, path: string): Extra | undefined {
  if (isEmpty(tools)) return undefined;
  if (!Array.isArray(tools)) return { param: path, rule: 'must be a list' };
  const index = tools.findIndex((tool) => !isFields(tool) || !TOOL_TYPES.includes(tool['type']));
  return index === -1 ? undefined : { param: `${path}[${index}].type`, rule: 'must be function or custom' };
}

function checkToolChoice(choice: unknown): Extra | undefined {
  if (isEmpty(choice)) return undefined;
  if (!isFields(choice)) {
    return CHOICES.includes(choice)
      ? undefined
      : { param: 'tool_choice', rule: `must be an object, or one of ${CHOICES.join(', ')}` };
  }
  if (!CHOICE_TYPES.includes(choice['type'])) return { param: 'tool_choice.type', rule: 'must be function or custom' };
  const allowed = choice['allowed_tools'];
  return (
    checkTools(choice['tools'], 'tool_choice.tools') ??
    checkTools(isFields(allowed) ? allowed['tools'] : undefined, 'tool_choice.allowed_tools.tools')
  );
}

function checkModalities(modalities: unknown): Extra | undefined {
  if (isEmpty(modalities)) return undefined;
  const isText = Array.isArray(modalities) && modalities.every((modality) => modality === 'text');
  return isText ? undefined : { param: 'modalities', rule: 'must be ["text"]' };
}

function checkServiceTier(tier: unknown): Extra | undefined {
  if (isEmpty(tier) || SERVICE_TIERS.includes(tier)) return undefined;
  return { param: 'service_tier', rule: `must be ${SERVICE_TIERS.slice(0, -1).join(', ')} or ${SERVICE_TIERS.at(-1)}` };
}

export function checkProvider(provider: unknown): Extra | undefined {
  if (isEmpty(provider)) return undefined;
  if (!isFields(provider)) return { param: 'provider', rule: 'must be an object' };
  const given = Object.keys(provider).filter((name) => !isEmpty(provider[name]));
  const dear = given.find((name) => !PROVIDER_PREFERENCES.includes(name));
  if (dear !== undefined) return refuseAny(provider[dear], `provider.${dear}`);
  const { sort } = provider;
  const isCheapest = isEmpty(sort) || sort === 'price' || (isFields(sort) && sort['by'] === 'price');
  return isCheapest ? undefined : { param: 'provider.sort', rule: 'must be price' };
}

/** What is looked at in every format; every other field a request may have costs nothing but tokens. */
export const COMMON_EXTRAS: ExtraChecks = {
  audio: refuseAny,
  image_config: refuseAny,
  modalities: checkModalities,
  models: refuseAny,
  plugins: refuseAny,
  preset: refuseAny,
  provider: checkProvider,
  service_tier: checkServiceTier,
  tool_choice: checkToolChoice,
  tools: checkTools,
  web_search_options: refuseAny,
};

/** Returns the first member of a request that may cost more than tokens; undefined for none. */
function findExtra(body: Fields, checks: ExtraChecks): Extra | undefined {
  for (const [name, check] of Object.entries(checks)) {
    const extra = check(body[name], name);
    if (extra !== undefined) return extra;
  }
  return undefined;
}

/**
 * Refuses a request that may cost more than tokens.
 * @throws {ApiError} VALIDATION_FAILED, naming the member
 */
export function requireTokensOnly(body: Fields, checks: ExtraChecks): void {
  const extra = findExtra(body, checks);
  if (extra === undefined) return;
  const { param, rule } = extra;
  throw new ApiError('VALIDATION_FAILED', { sentence: `${param} ${rule}`, extras: { param } });
}

/** Suffixes of a model's name that choose among its providers or its variants, and add no service of their own. */
const SUFFIXES: ReadonlySet<string> = new Set(['beta', 'exacto', 'extended', 'floor', 'free', 'nitro', 'thinking']);
/** A model's name without suffixes: no preset (`@preset/…`) has its form. */
const PLAIN_NAME = /^[\w.+~-]+(\/[\w.+~-]+)*$/;

/** Returns whether a model's name asks for the model alone, without a preset or a service such as web search. */
export function isPlainModel(model: string): boolean {
  const [name = '', ...suffixes] = model.split(':');
  return PLAIN_NAME.test(name) && suffixes.every((suffix) => SUFFIXES.has(suffix));
}
