import type { Account } from './account.js';
import { TokenledgerError, toError } from './errors.js';
import { readEvents } from './sse.js';
import type { Send } from './transport.js';
import type { ChatBody } from './types.js';

/** A chunk of an answer as OpenAI's API has it; other members are there as the model's provider sends them. */
export interface ChatChunk {
  readonly choices?: readonly {
    readonly index?: number;
    readonly delta?: { readonly content?: string | null; readonly [name: string]: unknown };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: unknown;
  readonly [name: string]: unknown;
}

/** The person's balance after an answer. */
export interface TokenUpdate {
  readonly type: 'token_update';
  readonly tokens_left: number;
  readonly tokens_used: number;
  /** `quota` where the answer was cut, as the tokens ran out. */
  readonly reason?: 'quota';
}

/** What comes of an answer, in this order and as it comes. */
export type ChatEvent =
  /** The next piece of the answer's text. */
  | { readonly type: 'text'; readonly text: string; readonly chunk: ChatChunk }
  /** Any other chunk: tool calls, reasoning, the end. */
  | { readonly type: 'chunk'; readonly chunk: ChatChunk }
  | { readonly type: 'tokens'; readonly tokens: TokenUpdate };

export interface ChatOptions {
  /** Ends the request; what was produced until then is paid for. */
  readonly signal?: AbortSignal;
  /** Protects from paying twice; made up where there is none. */
  readonly idempotencyKey?: string;
}

/** Chat with language models, in the name of the person who is signed in. */
export interface Chat {
  /**
   * Streams an answer, with the balance at its end. To leave the loop ends the request.
   * @throws {TokenledgerError} also in the middle of an answer; NETWORK_ERROR where it broke off
   */
  readonly stream: (body: ChatBody, options?: ChatOptions) => AsyncGenerator<ChatEvent, void, undefined>;
  /** Streams the chunks of an answer in OpenAI's format; `body` has all that format has. */
  readonly completions: (body: object, options?: ChatOptions) => AsyncGenerator<ChatChunk, void, undefined>;
}

type Message = ChatChunk & { readonly type?: unknown; readonly error?: unknown };

const brokenOff = (cause?: unknown) => new TokenledgerError('NETWORK_ERROR', 'The answer broke off', { cause });

/** Tells whether a message is the server's own, about the balance. */
function isTokenUpdate(message: object): message is TokenUpdate {
  return 'type' in message && message.type === 'token_update';
}

const openBody = async ({ body }: Response) => body;

/** Creates what asks language models. */
export function createChat({ account, send }: { readonly account: Account; readonly send: Send }): Chat {
  async function* ask(path: string, body: object, options: ChatOptions): AsyncGenerator<Message, void, undefined> {
    const call = {
      body: { ...body, stream: true },
      signal: options.signal,
      idempotencyKey: options.idempotencyKey ?? crypto.randomUUID(),
      // The second time there is no answer to have, only an error that says so.
      repeat: 'refused',
    } as const;
    const sendAs = 'access_token' in body ? send : account.send;
    try {
      for await (const data of readEvents(await sendAs(path, call, openBody))) {
        if (data === '[DONE]') return;
        const message: Message = JSON.parse(data);
        if (message.type === 'error' || message.error) throw toError(message, { status: 200 });
        yield message;
      }
    } catch (cause) {
      options.signal?.throwIfAborted();
      throw cause instanceof TokenledgerError ? cause : brokenOff(cause);
    }
    throw brokenOff();
  }

  return {
    stream: async function* (body, options = {}) {
      for await (const chunk of ask('/chat/stream', body, options)) {
        if (isTokenUpdate(chunk)) yield { type: 'tokens', tokens: chunk };
        else {
          const text = chunk.choices?.[0]?.delta?.content;
          yield text ? { type: 'text', text, chunk } : { type: 'chunk', chunk };
        }
      }
    },
    completions: (body, options = {}) => ask('/v1/chat/completions', body, options),
  };
}
