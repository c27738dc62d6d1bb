import { type Static, Type } from '@sinclair/typebox';
import { parseBytes } from './bytes.js';
import { parseDuration } from './duration.js';
import { parseList } from './list.js';
import { Address, Duration, HeaderKey, Key } from './variable-types.js';

/** The variables about chat. */
export const Chat = {
  OPENROUTER_API_KEY: HeaderKey('Key at OpenRouter; without it the chat routes are off.'),
  OPENROUTER_MODEL: Type.String({
    default: 'openai/gpt-4',
    minLength: 1,
    maxLength: 200,
    description: 'The model of requests that name none.',
  }),
  OPENROUTER_BASE_URL: Address(
    'https://openrouter.ai/api/v1',
    'OpenRouter, or another OpenAI-compatible API; https, except on this machine.',
  ),
  OPENROUTER_TIMEOUT: Duration(
    '2m',
    'Longest silence of the upstream provider, before its answer begins and within it.',
  ),
  CHAT_MODELS: Key('Models that may be asked for, separated by commas; all without it.'),
  CHAT_EXTRAS: Type.Union([Type.Literal('off'), Type.Literal('on')], {
    default: 'off',
    description:
      'on lets requests ask for what may cost more than tokens: web search and other tools of the provider, plugins, presets, service tiers, sound, images, chosen providers.',
  }),
  CHAT_MODEL_WEIGHTS: Type.Union([Type.Literal('off'), Type.Literal('prices')], {
    default: 'off',
    description:
      'prices lets a token of an expensive model debit more than one of a cheap one, by the prices upstream lists; weights that admins set count either way.',
  }),
  CHAT_WEIGHT_PRICE: Type.String({
    default: '1',
    pattern: '^(?=.*[1-9])[0-9]{1,6}([.][0-9]{1,6})?$',
    description: 'With prices: US dollars for a million tokens of which each debits 1.',
  }),
  CHAT_MAX_COST_PER_REQUEST: Type.Optional(
    Type.String({
      pattern: '^[0-9]{1,6}([.][0-9]{1,9})?$',
      description:
        'US dollars that one chat request may cost at most, by the prices upstream lists; models without a price are refused then.',
    }),
  ),
  CHAT_BODY_LIMIT: Type.String({
    default: '20MiB',
    pattern: '^[1-9][0-9]{0,8}( ?[KM]i?B)?$',
    description: 'Largest chat request: bytes, or a number and KiB or MiB; 1 MiB at most without a bearer token.',
  }),
  CHAT_REMOTE_TOKENS: Type.Integer({
    default: 20_000,
    minimum: 0,
    maximum: 10_000_000,
    description: 'Tokens held for a file that a chat request only names by its address; 5,000 at most for an image.',
  }),
};

const ChatSchema = Type.Object(Chat);

/** Converts US dollars, as the environment schema allows them, to nano-dollars (10⁻⁹). */
const toNanos = (dollars: string | undefined) =>
  dollars === undefined ? undefined : Math.round(Number(dollars) * 1e9);

/** Returns how chat requests are passed on; undefined where they are not. */
export function toChatConfig(environment: Static<typeof ChatSchema>) {
  if (environment.OPENROUTER_API_KEY === undefined) return undefined;
  const models = parseList(environment.CHAT_MODELS).filter((name) => name !== '');
  return {
    apiKey: environment.OPENROUTER_API_KEY,
    baseUrl: environment.OPENROUTER_BASE_URL.replace(/\/+$/, ''),
    defaultModel: environment.OPENROUTER_MODEL,
    /** Longest silence of the upstream, in milliseconds. */
    idleTimeoutMs: parseDuration(environment.OPENROUTER_TIMEOUT) * 1_000,
    /** The models that may be asked for; all of the upstream's where it is undefined. */
    models: environment.CHAT_MODELS === undefined ? undefined : models,
    /** Whether requests may ask for what may cost more than tokens. */
    hasExtras: environment.CHAT_EXTRAS === 'on',
    /** US dollars for a million tokens that weigh 1; undefined where upstream's prices decide nothing. */
    weightPrice: environment.CHAT_MODEL_WEIGHTS === 'prices' ? Number(environment.CHAT_WEIGHT_PRICE) : undefined,
    /** What one request may cost, in nano-dollars; undefined where that is not limited. */
    maxNanoUsd: toNanos(environment.CHAT_MAX_COST_PER_REQUEST),
    /** Largest request, in bytes. */
    bodyLimitBytes: parseBytes(environment.CHAT_BODY_LIMIT),
    /** Tokens held for a file that a request only names by its address. */
    remoteTokens: environment.CHAT_REMOTE_TOKENS,
  };
}
