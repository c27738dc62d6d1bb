import type { Generation } from '../../completion.js';
import type { Bill, Settlement } from '../../metering/chat-meter.js';
import type { StreamStyle } from '../../stream/relay.js';
import { openAiErrorOf } from './errors.js';

type Fields = Readonly<Record<string, unknown>>;

const DONE = 'data: [DONE]\n\n';
const eventOf = (value: Fields) => `data: ${JSON.stringify(value)}\n\n`;

/** A chunk of our own among upstream's. */
function chunkOf({ tally }: Generation, model: string, fields: Fields): string {
  const created = Math.floor(Date.now() / 1_000);
  return eventOf({ id: tally.origin().upstreamId, object: 'chat.completion.chunk', created, model, ...fields });
}

/** The chunk that ends an answer whose tokens ran out, as a model's own limit would. */
function cutChunk(generation: Generation, model: string): string {
  const { answers } = generation;
  const choices = Array.from({ length: answers }, (_, index) => ({ index, delta: {}, finish_reason: 'length' }));
  return chunkOf(generation, model, { choices });
}

function tokenUpdate(settlement: Settlement, isCut: boolean): string {
  return eventOf({
    type: 'token_update',
    tokens_left: settlement.remaining,
    tokens_used: settlement.tokensUsed,
    ...(isCut && { reason: 'quota' }),
  });
}

/** Contract 4's stream: every chunk as it came, then the balance, then the end. */
export function chatStyle(generation: Generation, model: string): StreamStyle {
  return {
    passes: () => true,
    closing: (ending, _bill, settlement) => {
      const isCut = ending?.kind === 'quota';
      const fault = ending?.kind === 'fault' ? eventOf({ type: 'error', ...ending.error.toBody() }) : '';
      const update = settlement === undefined ? '' : tokenUpdate(settlement, isCut);
      return fault + (isCut ? cutChunk(generation, model) : '') + update + DONE;
    },
  };
}

/** OpenAI's last chunk, for who asked for it and did not get upstream's. */
function usageChunk(generation: Generation, model: string, { inputTokens, outputTokens }: Bill): string {
  const usage = {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
  };
  return chunkOf(generation, model, { choices: [], usage });
}

/** OpenAI's stream: a chunk that is only about usage is for those who asked for it. */
export function openAiStyle(generation: Generation, model: string, wantsUsage: boolean): StreamStyle {
  return {
    passes: (facts) => wantsUsage || facts.hasChoices || facts.usage === undefined,
    closing: (ending, bill) => {
      if (ending?.kind === 'fault') return eventOf(openAiErrorOf(ending.error)) + DONE;
      const cut = ending?.kind === 'quota' ? cutChunk(generation, model) : '';
      const usage = wantsUsage && bill.provenance === 'estimated' ? usageChunk(generation, model, bill) : '';
      return cut + usage + DONE;
    },
  };
}
