/** Tokens a hold grows by while a stream goes on. */
export const WINDOW_TOKENS = 2_048;
/** What an answer that comes whole may have where neither the request nor the model says. */
const USUAL_CEILING = 4_096;

type Fields = Readonly<Record<string, unknown>>;
const LIMITS = ['max_tokens', 'max_completion_tokens'] as const;

/** How long the answer to a request may become. */
export interface OutputLimit {
  /** Tokens to hold for the answer. */
  readonly wanted: number;
  /** How many answers were asked for at once. */
  readonly answers: number;
  /** Whether the answer may go on beyond them, with a hold that grows. */
  readonly isOpen: boolean;
  /**
   * What to ask of upstream.
   * @param granted tokens that are held, at most those wanted
   */
  readonly limitsFor: (granted: number) => Fields;
}

/** How many answers a request asks for. */
function answersOf({ n }: Fields): number {
  return typeof n === 'number' ? n : 1;
}

/**
 * Finds out how much to hold for an answer. A stream without a limit of its own is held for in windows, as it can be
 * ended when nothing is left; an answer that comes whole cannot, so its limit is told to upstream.
 *
 * @param ceiling tokens the model can answer at most, where that is known
 */
export function outputLimitOf(body: Fields, streaming: boolean, ceiling: number | undefined): OutputLimit {
  const answers = answersOf(body);
  const asked = LIMITS.map((name) => body[name]).filter((limit) => typeof limit === 'number');
  const each = asked.length > 0 ? Math.min(...asked) : streaming ? WINDOW_TOKENS : (ceiling ?? USUAL_CEILING);
  const wanted = each * answers;
  const isUnlimited = asked.length === 0 && (streaming || ceiling !== undefined);
  return {
    wanted,
    answers,
    isOpen: asked.length === 0 && streaming,
    limitsFor: (granted) => {
      if (isUnlimited && granted >= wanted) return {};
      const limit = Math.max(Math.floor(granted / answers), 1);
      const named = LIMITS.filter((name) => typeof body[name] === 'number');
      return Object.fromEntries((named.length > 0 ? named : ['max_tokens']).map((name) => [name, limit]));
    },
  };
}
