import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import pLimit from 'p-limit';
import type { Database } from '../../platform/database/client/database.js';
import type { Upstream } from './openrouter/upstream.js';

const DueSchema = Type.Array(Type.Object({ id: Type.String(), upstream_id: Type.String() }));
const CorrectGenerationSchema = Type.Object({ corrected: Type.Boolean(), amount: Type.Integer() });

/** Estimates that are asked about at once, and in one round of the database. */
const AT_ONCE = 4;
const BATCH = 100;

const Count = Type.Integer({ minimum: 0, maximum: 1_000_000_000 });
/** OpenRouter's "Get a generation": what it counted, with the model's own tokenizer; reasoning is part of the completion. */
const GenerationSchema = Type.Object({
  data: Type.Object({ native_tokens_prompt: Count, native_tokens_completion: Count }),
});
type UpstreamGeneration = Static<typeof GenerationSchema>['data'];

/** What a reconciliation did. */
export interface Reconciliation {
  /** Estimates that were asked about. */
  readonly asked: number;
  readonly corrected: number;
  /** Tokens that were given back altogether; negative where more were taken. */
  readonly tokens: number;
}

async function countOf(upstream: Upstream, upstreamId: string): Promise<UpstreamGeneration | undefined> {
  const answer = await upstream.read(`/generation?id=${encodeURIComponent(upstreamId)}`);
  return Value.Check(GenerationSchema, answer) ? answer.data : undefined;
}

/**
 * Asks upstream for its own count of every use that could only be estimated, and corrects the books. What upstream does
 * not know yet is asked for again in a later round; any number of servers may do this at once.
 *
 * @throws {ApiError} where upstream is out of reach
 */
export async function reconcile(database: Database, upstream: Upstream): Promise<Reconciliation> {
  const limit = pLimit(AT_ONCE);
  const amounts: number[] = [];
  let asked = 0;
  for (;;) {
    const due = await database.call('claim_estimated_generations', { p_limit: BATCH }, DueSchema);
    asked += due.length;
    const correct = async ({ id, upstream_id: upstreamId }: (typeof due)[number]) => {
      const count = await countOf(upstream, upstreamId);
      if (count === undefined) return;
      const { native_tokens_prompt: p_input_tokens, native_tokens_completion: p_output_tokens } = count;
      const request = { p_id: id, p_input_tokens, p_output_tokens };
      const { corrected, amount } = await database.call('correct_generation', request, CorrectGenerationSchema);
      if (corrected) amounts.push(amount);
    };
    await Promise.all(due.map((generation) => limit(correct, generation)));
    if (due.length < BATCH) break;
  }
  return { asked, corrected: amounts.length, tokens: amounts.reduce((sum, amount) => sum + amount, 0) };
}
