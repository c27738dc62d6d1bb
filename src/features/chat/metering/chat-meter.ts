import { randomUUID } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import { createOutcomeBatcher, createOutcomeDecoder } from '../../../metering/outcomes.js';
import type { Caller } from '../../../platform/database/client/caller.js';
import type { Database } from '../../../platform/database/client/database.js';
import type { Json } from '../../../platform/database/client/types.js';

/** Who pays for a chat request: a person with a session or key, or one Google vouches for. */
export type Payer = Caller | { readonly google_subject: string };

/** What a chat request may come to, for its hold. */
export interface Reservation {
  readonly source: 'chat' | 'api';
  /** In lower case. */
  readonly model: string;
  /** Tokens of the prompt, estimated. */
  readonly inputEstimate: number;
  /** Tokens of the answer that are wanted; as many as are left are held. */
  readonly outputTokens: number;
  readonly idempotencyKey?: string | undefined;
  /** SHA-256 (hex) of the request, to tell a retry from another request with the same key. */
  readonly requestHash: string;
}

/** Tokens set aside for one chat request. */
export interface Hold {
  readonly id: string;
  /** Tokens of the answer the hold pays for, 1 at least. */
  readonly outputTokens: number;
  /** Tokens left besides it. */
  readonly remaining: number;
}

/** What upstream told of a generation, as far as it is known. */
export interface Origin {
  readonly provider?: string | undefined;
  readonly upstreamId?: string | undefined;
}

/** What a chat request came to; nothing billed is 0 and 0. */
export interface Bill extends Origin {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly provenance: 'provider_final' | 'estimated';
}

/** How a chat request was settled: the first bill counts, however often one is sent. */
export interface Settlement {
  readonly tokensUsed: number;
  readonly remaining: number;
}

/** Takes, extends and settles the holds of chat requests; the rules are the SQL function `meter_chat`'s. */
export interface ChatMeter {
  /** @throws {ApiError} INSUFFICIENT_TOKENS, INVALID_TOKEN, USER_NOT_FOUND (Google), ALREADY_ANSWERED, IDEMPOTENCY_MISMATCH */
  readonly reserve: (payer: Payer, reservation: Reservation) => Promise<Hold>;
  /**
   * Says that a request still runs, and asks for more tokens, 0 for none.
   * @returns how many tokens the hold grew by: fewer than asked for where fewer are left
   * @throws {ApiError} RESERVATION_SETTLED
   */
  readonly extend: (holdId: string, outputTokens: number, origin: Origin) => Promise<number>;
  readonly settle: (holdId: string, bill: Bill) => Promise<Settlement>;
}

const Tokens = Type.Integer({ minimum: 0 });
const decodeHold = createOutcomeDecoder(Type.Object({ output_tokens: Tokens, remaining: Tokens }));
const decodeExtension = createOutcomeDecoder(Type.Object({ output_tokens: Tokens }));
const decodeSettlement = createOutcomeDecoder(Type.Object({ tokens_used: Tokens, remaining: Tokens }));

type Item = Record<string, Json>;

const originOf = ({ provider, upstreamId }: Origin): Item => ({
  provider: provider ?? null,
  upstream_id: upstreamId ?? null,
});

/** Builds the meter of chat requests over a database; all its calls share batches. */
export function createChatMeter(database: Database): ChatMeter {
  const submit = createOutcomeBatcher(database, 'meter_chat', (p_items: Item[]) => ({ p_items }));
  return {
    reserve: async (payer, reservation) => {
      const id = randomUUID();
      const item = {
        op: 'reserve',
        ...payer,
        hold: id,
        source: reservation.source,
        model: reservation.model,
        input_estimate: reservation.inputEstimate,
        output_tokens: reservation.outputTokens,
        idempotency_key: reservation.idempotencyKey ?? null,
        request_hash: reservation.requestHash,
      };
      const { output_tokens: outputTokens, remaining } = decodeHold(await submit(item));
      return { id, outputTokens, remaining };
    },
    extend: async (hold, outputTokens, origin) => {
      const item = { op: 'extend', hold, output_tokens: outputTokens, ...originOf(origin) };
      return decodeExtension(await submit(item)).output_tokens;
    },
    settle: async (hold, bill) => {
      const { inputTokens, outputTokens, provenance } = bill;
      const tokens = { input_tokens: inputTokens, output_tokens: outputTokens, provenance };
      const settlement = decodeSettlement(await submit({ op: 'settle', hold, ...tokens, ...originOf(bill) }));
      return { tokensUsed: settlement.tokens_used, remaining: settlement.remaining };
    },
  };
}
