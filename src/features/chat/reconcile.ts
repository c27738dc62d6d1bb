import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import pLimit from 'p-limit';
import type { Database } from '../../platform/database/client/database.js';
import { deriveSides, parseCount } from './metering/evidence.js';
import { parseCost } from './metering/money.js';
import type { Upstream } from './openrouter/upstream.js';

const DueSchema = Type.Array(Type.Object({ id: Type.String(), upstream_id: Type.String() }));
const CorrectGenerationSchema = Type.Object({ corrected: Type.Boolean(), amount: Type.Integer() });

/** Estimates asked about at once. */
const CONCURRENCY = 4;
/** Estimates claimed in one call of the database. */
const BATCH_SIZE = 100;

/** OpenRouter's "Get a generation": its count by the model's own tokenizer, and what it charges. */
const GenerationSchema = Type.Object({
  data: Type.Object(
    {
      native_tokens_prompt: Type.Unknown(),
      native_tokens_completion: Type.Unknown(),
      native_tokens_reasoning: Type.Optional(Type.Unknown()),
    },
    { additionalProperties: true },
  ),
});

/** What upstream says of a generation. */
interface Count {
  readonly input: number;
  readonly output: number;
  /** In nano-dollars. */
  readonly cost: number | undefined;
}

/** What a reconciliation did. */
export interface Reconciliation {
  /** Estimates upstream was asked about. */
  readonly asked: number;
  readonly corrected: number;
  /** Tokens given back altogether; negative where more were taken. */
  readonly tokens: number;
}

/** Returns upstream's count of a generation; undefined where it has none. */
async function fetchCount(upstream: Upstream, upstreamId: string): Promise<Count | undefined> {
  const answer = await upstream.fetchJson(`/generation?id=${encodeURIComponent(upstreamId)}`);
  if (!Value.Check(GenerationSchema, answer)) return undefined;
  const { data } = answer;
  const { input, output } = deriveSides({
    input: parseCount(data.native_tokens_prompt),
    output: parseCount(data.native_tokens_completion),
    reasoning: parseCount(data.native_tokens_reasoning),
    total: undefined,
  });
  return input === undefined || output === undefined ? undefined : { input, output, cost: parseCost({ ...data }) };
}

/**
 * Asks upstream for its own count of every chat request that could only be estimated, and corrects the ledger. What
 * upstream does not know yet is asked for again in a later round; any number of servers may do this at once.
 *
 * @throws {ApiError} UPSTREAM_UNAVAILABLE, UPSTREAM_FAILED, UPSTREAM_RATE_LIMITED: upstream is out of reach
 */
export async function reconcile(database: Database, upstream: Upstream): Promise<Reconciliation> {
  const limit = pLimit(CONCURRENCY);
  const amounts: number[] = [];
  let asked = 0;
  for (;;) {
    const due = await database.call('claim_estimated_generations', { p_limit: BATCH_SIZE }, DueSchema);
    asked += due.length;
    const correct = async ({ id, upstream_id: upstreamId }: (typeof due)[number]) => {
      const count = await fetchCount(upstream, upstreamId);
      if (count === undefined) return;
      const request = {
        p_id: id,
        p_input_tokens: count.input,
        p_output_tokens: count.output,
        ...(count.cost !== undefined && { p_nano_usd: count.cost }),
      };
      const { corrected, amount } = await database.call('correct_generation', request, CorrectGenerationSchema);
      if (corrected) amounts.push(amount);
    };
    await Promise.all(due.map((generation) => limit(correct, generation)));
    if (due.length < BATCH_SIZE) break;
  }
  return { asked, corrected: amounts.length, tokens: amounts.reduce((sum, amount) => sum + amount, 0) };
}
