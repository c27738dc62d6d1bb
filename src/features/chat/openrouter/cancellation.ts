/**
 * Providers that stop working, and billing, when a stream is aborted, as OpenRouter lists them in its documentation
 * ("API Streaming", "Stream cancellation", read in November 2026), in lower case. All others go on to the end and bill
 * it, and so is anybody not on the list assumed to: their streams are read to the end, also with nobody there to read it.
 */
const STOPS_BILLING: ReadonlySet<string> = new Set([
  'anthropic',
  'anyscale',
  'avian',
  'azure',
  'chutes',
  'cloudflare',
  'cohere',
  'deepinfra',
  'deepseek',
  'fireworks',
  'friendli',
  'hyperbolic',
  'infermatic',
  'lepton',
  'liquid',
  'mancer',
  'nineteen',
  'novita',
  'octoai',
  'openai',
  'recursal',
  'sfcompute',
  'together',
  'xai',
]);

/** Whether aborting a provider's stream ends its billing. */
export function stopsBilling(provider: string | undefined): boolean {
  return provider !== undefined && STOPS_BILLING.has(provider);
}
