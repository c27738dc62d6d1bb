/** Most tokens a request may ask for in one answer. */
export const MAX_OUTPUT_TOKENS = 10_000_000;
/** Tokens a hold grows by while a stream goes on. */
export const WINDOW_TOKENS = 2_048;
/** Tokens of an answer that comes whole, where neither the request nor the model sets a limit. */
const DEFAULT_OUTPUT_TOKENS = 4_096;

type Fields = Readonly<Record<string, unknown>>;

/** How long the answer to a request may become. */
export interface OutputLimit {
  /** Tokens to hold for the answer. */
  readonly wantedTokens: number;
  /** Whether the answer may go on beyond the wanted tokens, with a hold that grows. */
  readonly isUnbounded: boolean;
  /**
   * Returns the limits to set upstream.
   * @param grantedTokens tokens that are held, at most those wanted
   */
  readonly toUpstreamLimits: (grantedTokens: number) => Fields;
}

/** The limit of an answer that has no tokens, such as embeddings. */
export const NO_OUTPUT: OutputLimit = { wantedTokens: 0, isUnbounded: false, toUpstreamLimits: () => ({}) };

/** What the length of an answer depends on. */
interface OutputRequest {
  readonly body: Fields;
  /** The members of a request that limit its answer; the first is set where it has none. */
  readonly limitNames: readonly [string, ...string[]];
  /** How many answers are asked for at once. */
  readonly choiceCount?: number;
  /** Fewest tokens upstream takes as a limit, where the request does not name fewer itself. */
  readonly fewestTokens?: number;
  readonly isStreaming: boolean;
  /** Most tokens the model can answer with, where that is known. */
  readonly modelLimit: number | undefined;
}

/**
 * Finds out how much to hold for an answer. A stream without a limit of its own is held for in windows, as it can be
 * ended when nothing is left; an answer that comes whole cannot, so its limit is set upstream.
 */
export function createOutputLimit(request: OutputRequest): OutputLimit {
  const { body, limitNames, choiceCount = 1, fewestTokens = 1, isStreaming, modelLimit } = request;
  const requested = limitNames.map((name) => body[name]).filter((limit) => typeof limit === 'number');
  const isLimited = requested.length > 0;
  const defaultTokens = isStreaming ? WINDOW_TOKENS : (modelLimit ?? DEFAULT_OUTPUT_TOKENS);
  const wantedTokens = (isLimited ? Math.min(...requested) : defaultTokens) * choiceCount;
  const needsNoLimit = !isLimited && (isStreaming || modelLimit !== undefined);
  return {
    wantedTokens,
    isUnbounded: !isLimited && isStreaming,
    toUpstreamLimits: (grantedTokens) => {
      if (needsNoLimit && grantedTokens >= wantedTokens) return {};
      const limit = Math.max(Math.floor(grantedTokens / choiceCount), Math.min(fewestTokens, ...requested));
      const named = limitNames.filter((name) => typeof body[name] === 'number');
      return Object.fromEntries((named.length > 0 ? named : [limitNames[0]]).map((name) => [name, limit]));
    },
  };
}
