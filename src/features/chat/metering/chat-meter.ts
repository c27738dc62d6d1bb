import { randomUUID } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import { createOutcomeBatcher, createOutcomeDecoder } from '../../../metering/outcomes.js';
import type { Caller } from '../../../platform/database/client/caller.js';
import type { Database } from '../../../platform/database/client/database.js';
import type { Json } from '../../../platform/database/client/types.js';
import { reportChatUsage } from '../../../platform/metrics/report.js';
import type { ModelPrice } from './money.js';
import { createWaitingNotes } from './waiting-notes.js';

/**
 * Who pays for a chat request: a user with a session or an API key, or the user a Google account belongs to, by an access
 * token whose SHA-256 (hex) it has.
 */
export type Payer = Caller | { readonly google_subject: string; readonly google_token_hash: string };

/** What a chat request may cost at most, for its hold. */
export interface Reservation {
  readonly source: 'chat' | 'api';
  /** In lower case. */
  readonly model: string;
  /** Whether the answer is passed on as it comes, so that its progress is noted. */
  readonly isStreaming: boolean;
  /** Estimated tokens of the prompt. */
  readonly inputEstimate: number;
  /** Tokens wanted for the answer; where fewer are left, those are held. */
  readonly outputTokens: number;
  /** What upstream charges for the model by its list, as far as that is known. */
  readonly price?: ModelPrice | undefined;
  readonly idempotencyKey?: string | undefined;
  /** SHA-256 (hex) of the request, which tells a retry from another request with the same key; needed with a key only. */
  readonly requestHash: string | undefined;
}

/** Tokens set aside for one chat request. */
export interface Hold {
  readonly id: string;
  /** Tokens of the answer the hold pays for, at least 1 of those that were wanted. */
  readonly outputTokens: number;
  /** Tokens left besides the hold. */
  readonly remaining: number;
}

/** Where a generation comes from, as far as upstream has said. */
export interface Origin {
  readonly provider?: string | undefined;
  readonly upstreamId?: string | undefined;
}

/** The fewest tokens that prompt and answer can be: upstream's later count is not believed below them. */
export interface Fewest {
  readonly fewestInput?: number | undefined;
  readonly fewestOutput?: number | undefined;
}

/** How far a stream has come: what it is settled at, about, should this process die. */
export interface Progress extends Origin, Fewest {
  readonly inputTokens?: number | undefined;
  readonly outputTokens?: number | undefined;
}

/** What a chat request used; 0 and 0 where nothing is billed. */
export interface UsageReport extends Origin, Fewest {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly provenance: 'provider_final' | 'estimated';
  /** What upstream says it charges, in nano-dollars; where it says nothing, its list prices decide. */
  readonly nanoUsd?: number | undefined;
}

/** How a chat request was settled: the first report counts, however often one is sent. */
export interface Settlement {
  readonly tokensUsed: number;
  readonly remaining: number;
}

/** Takes, extends and settles the holds of chat requests; the rules are in the SQL function `meter_chat`. */
export interface ChatMeter {
  /**
   * Takes the hold of a request.
   * @throws {ApiError} INSUFFICIENT_TOKENS, INVALID_TOKEN, USER_NOT_FOUND (Google), ALREADY_ANSWERED, IDEMPOTENCY_MISMATCH
   */
  readonly reserve: (payer: Payer, reservation: Reservation) => Promise<Hold>;
  /**
   * Reports that a request still runs and how far it has come, and asks for more tokens, 0 for none.
   * @returns the tokens the hold grew by: fewer than asked for where fewer are left
   * @throws {ApiError} RESERVATION_SETTLED
   */
  readonly extend: (holdId: string, outputTokens: number, progress: Progress) => Promise<number>;
  /** Reports the same when some other call is made, or soon: nobody waits for it. Resolves when it has left, or failed. */
  readonly note: (holdId: string, progress: Progress) => Promise<void>;
  /** Settles a hold with what the request used. */
  readonly settle: (holdId: string, report: UsageReport) => Promise<Settlement>;
}

const TokensSchema = Type.Integer({ minimum: 0 });
const decodeHold = createOutcomeDecoder(Type.Object({ output_tokens: TokensSchema, remaining: TokensSchema }));
const decodeExtension = createOutcomeDecoder(Type.Object({ output_tokens: TokensSchema }));
const decodeSettlement = createOutcomeDecoder(Type.Object({ tokens_used: TokensSchema, remaining: TokensSchema }));

type Item = Record<string, Json>;

const toKnownFields = ({ provider, upstreamId, fewestInput, fewestOutput }: Origin & Fewest): Item => ({
  provider: provider ?? null,
  upstream_id: upstreamId ?? null,
  input_floor: fewestInput ?? null,
  output_floor: fewestOutput ?? null,
});

/** Builds the meter of chat requests over a database; all its calls share batches. */
export function createChatMeter(database: Database): ChatMeter {
  const submit = createOutcomeBatcher(database, 'meter_chat', (p_items: Item[]) => ({ p_items }), {
    // What upstream bills is written down, however long that takes.
    canShed: ({ op }) => op === 'reserve',
  });
  const extend = async (hold: string, outputTokens: number, progress: Progress): Promise<number> => {
    const seen = { input_seen: progress.inputTokens ?? null, output_seen: progress.outputTokens ?? null };
    const item = { op: 'extend', hold, output_tokens: outputTokens, ...seen, ...toKnownFields(progress) };
    return decodeExtension(await submit(item)).output_tokens;
  };
  const notes = createWaitingNotes<Progress>((holdId, progress) => extend(holdId, 0, progress));
  return {
    note: notes.add,
    reserve: async (payer, reservation) => {
      notes.send();
      const id = randomUUID();
      const item = {
        op: 'reserve',
        ...payer,
        hold: id,
        source: reservation.source,
        model: reservation.model,
        streamed: reservation.isStreaming,
        input_estimate: reservation.inputEstimate,
        output_tokens: reservation.outputTokens,
        input_price: reservation.price?.input ?? null,
        output_price: reservation.price?.output ?? null,
        request_price: reservation.price?.request ?? null,
        idempotency_key: reservation.idempotencyKey ?? null,
        request_hash: reservation.requestHash ?? null,
      };
      const { output_tokens: outputTokens, remaining } = decodeHold(await submit(item));
      return { id, outputTokens, remaining };
    },
    extend: (hold, outputTokens, progress) => {
      notes.drop(hold);
      notes.send();
      return extend(hold, outputTokens, progress);
    },
    settle: async (hold, report) => {
      notes.drop(hold);
      notes.send();
      const { inputTokens, outputTokens, provenance, nanoUsd } = report;
      const used = { input_tokens: inputTokens, output_tokens: outputTokens, provenance, nano_usd: nanoUsd ?? null };
      const settlement = decodeSettlement(await submit({ op: 'settle', hold, ...used, ...toKnownFields(report) }));
      reportChatUsage(provenance, inputTokens, outputTokens);
      return { tokensUsed: settlement.tokens_used, remaining: settlement.remaining };
    },
  };
}
