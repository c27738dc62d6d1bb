/**
 * Every reason of upstream's that clients are told, with our sentence for it. Upstream's own words are not passed on, but
 * some of ours are what clients look for: LangChain knows a long prompt by "maximum context length" and LiteLLM by "prompt
 * is too long", which knows a filter by "request was rejected as a result of the safety system".
 */
export const REASONS = {
  context_length_exceeded: "The prompt is too long: the messages exceed this model's maximum context length",
  content_filter: 'The request was rejected as a result of the safety system or content filter of the model provider',
  model_not_found: 'The model provider does not offer this model',
  unsupported_parameter: 'This model does not support one of the parameters',
  request_too_large: 'The request is larger than the model provider takes',
  rate_limited: 'The model provider is busy, try again later',
  overloaded: 'The model provider is overloaded, try again later',
} as const satisfies Record<string, string>;
export type RefusalReason = keyof typeof REASONS;

/** A reason as the log has it: besides those for clients, that the operator's account upstream is used up. */
export type LoggedReason = RefusalReason | 'insufficient_credit';

/** The names upstreams have for reasons, in lower case without punctuation. */
const NAMES: Readonly<Record<LoggedReason, readonly string[]>> = {
  context_length_exceeded: [
    'contextlengthexceeded',
    'contextlengthexceedederror',
    'contextwindowexceeded',
    'contextwindowexceedederror',
    'modelcontextwindowexceeded',
    'maxcontextlengthexceeded',
    'prompttoolong',
    'stringabovemaxlength',
    'tokenlimitexceeded',
  ],
  content_filter: [
    'contentfilter',
    'contentfiltered',
    'contentfiltererror',
    'contentpolicyviolation',
    'contentpolicyviolationerror',
    'moderation',
    'moderationblocked',
    'moderationerror',
    'moderationflagged',
    'responsibleaipolicyviolation',
    'safety',
  ],
  model_not_found: ['modelnotfound', 'modelnotfounderror', 'invalidmodel', 'modelnotavailable', 'deploymentnotfound'],
  unsupported_parameter: [
    'unsupportedparameter',
    'unsupportedparameters',
    'unsupportedparams',
    'unsupportedparamserror',
    'unsupportedvalue',
    'unknownparameter',
  ],
  request_too_large: ['requesttoolarge', 'payloadtoolarge'],
  rate_limited: [
    'ratelimit',
    'ratelimited',
    'ratelimiterror',
    'ratelimitexceeded',
    'toomanyrequests',
    'resourceexhausted',
    'throttlingexception',
  ],
  overloaded: ['overloaded', 'overloadederror', 'engineoverloaded', 'provideroverloaded'],
  insufficient_credit: [
    'billingerror',
    'insufficientquota',
    'insufficientcredits',
    'insufficientbalance',
    'billinghardlimitreached',
  ],
};

/** Phrases of upstreams that give a reason no name. */
const PHRASES: readonly (readonly [RefusalReason, RegExp])[] = [
  [
    'context_length_exceeded',
    /(maximum|max) context (length|window)|context (length|window|size) (is |was )?exceed|exceeds? (the |this |its )?(model'?s? )?(maximum |available )?(context|input token)|prompt is too long|input (token count|length)[^.]* exceed|too many (input )?tokens/i,
  ],
  [
    'model_not_found',
    /not a valid model|no endpoints found for|(model|deployment)\b[^.]{0,250}\b(does not exist|not found|is not available|no longer available)|(unknown|no such|invalid) model/i,
  ],
  [
    'unsupported_parameter',
    /(unsupported|unknown|unrecognized|unrecognised) (request )?(parameter|argument|field|value)|(parameter|argument|temperature|tool use|tools?|images?)\b[^.]{0,100}\b(not supported|unsupported)|does not support|no endpoints found that support/i,
  ],
  [
    'content_filter',
    /requires moderation|(was|were|been) flagged|content (management )?(policy|filter)|safety (system|policy|filter)/i,
  ],
  ['overloaded', /overloaded|at capacity/i],
];

/** What an upstream's error quotes of the request: no source of reasons. */
const QUOTES: readonly string[] = ['flagged_input', 'param', 'user_id', 'request_id'];
const MAX_DEPTH = 6;
const MAX_TEXTS = 100;

function parseNested(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Collects the texts of an error; OpenRouter passes a provider's own error on as JSON within a text. */
function collectTexts(value: unknown, texts: string[], depth = 0): void {
  if (depth > MAX_DEPTH || texts.length >= MAX_TEXTS) return;
  if (typeof value === 'string') {
    texts.push(value);
    if (/^\s*[{[]/.test(value)) collectTexts(parseNested(value), texts, depth + 1);
  }
  if (typeof value !== 'object' || value === null) return;
  for (const [key, member] of Object.entries(value)) if (!QUOTES.includes(key)) collectTexts(member, texts, depth + 1);
}

const toName = (text: string) => text.toLowerCase().replace(/[^a-z]/g, '');

/**
 * Returns why upstream refused, as one of a closed list.
 * @param error upstream's error: its body, or the chunk it came in
 */
export function findReason(error: unknown): LoggedReason | undefined {
  const texts: string[] = [];
  collectTexts(error, texts);
  const names = new Set(texts.filter((text) => text.length <= 60).map(toName));
  for (const [reason, known] of Object.entries(NAMES)) {
    if (known.some((name) => names.has(name)) && isLoggedReason(reason)) return reason;
  }
  return PHRASES.find(([, phrase]) => texts.some((text) => phrase.test(text.slice(0, 2_000))))?.[0];
}

const isLoggedReason = (reason: string): reason is LoggedReason => Object.hasOwn(NAMES, reason);

/** Returns whether clients are told a reason. */
export const isRefusalReason = (reason: string | undefined): reason is RefusalReason =>
  reason !== undefined && Object.hasOwn(REASONS, reason);
