/** A model with no meaning to any client, so that none of them treats it specially. */
export const MODEL = 'openai/gpt-4';

/** The tool that is offered where a question asks for one. */
export const WEATHER_TOOL = {
  name: 'weather',
  description: 'Tells the weather of a city.',
  parameters: {
    type: 'object' as const,
    properties: { city: { type: 'string' as const } },
    required: ['city'],
    additionalProperties: false,
  },
};

/** What the tool answers. */
export const callWeather = () => ({ degrees: 21 });

/** The shape of an answer that has to be JSON. */
export const REPORT_SCHEMA = {
  type: 'object' as const,
  properties: { city: { type: 'string' as const }, degrees: { type: 'number' as const } },
  required: ['city', 'degrees'],
  additionalProperties: false,
};

/** What a client is to ask, in the way its documentation shows. */
export interface Question {
  readonly isStreaming: boolean;
  /** A picture (data URL) to send along. */
  readonly image?: string;
  /** Offers the weather tool; the client runs it and asks again. */
  readonly hasTool?: boolean;
  /** Wants an answer in the shape of {@link REPORT_SCHEMA}. */
  readonly isStructured?: boolean;
  /** The client's own default otherwise. */
  readonly maxRetries?: number;
  readonly signal?: AbortSignal;
  /** Is told each piece of text of a stream. */
  readonly onText?: (text: string) => void;
}

/** What a client shows of an answer. */
export interface Reply {
  readonly text: string;
  readonly reasoning: string | undefined;
  readonly toolCalls: readonly { readonly name: string; readonly input: unknown }[];
  readonly finishReason: string | undefined;
  /** Tokens of all requests it took. */
  readonly usage: { readonly input: number | undefined; readonly output: number | undefined } | undefined;
  /** The answer as the object that was asked for. */
  readonly object: unknown;
}

/** What a client shows of an error. */
export interface ShownError {
  /** The name of its class. */
  readonly kind: string;
  readonly message: string;
  readonly status?: number | undefined;
  readonly code?: unknown;
}

/** What can go wrong with a question. */
export type Trouble =
  /** The key is nobody's. */
  | 'bad key'
  /** The balance is empty. */
  | 'empty balance'
  /** Upstream says that the messages are too long. */
  | 'refused'
  /** Upstream fails before it answers anything. */
  | 'failed'
  /** Upstream took the request and breaks off: it may have billed it. */
  | 'lost'
  /** Upstream tells an error within a stream. */
  | 'failed in the stream'
  /** The user stops it. */
  | 'aborted';

/** A client that was told this server's base URL and a key, and nothing else that its users would not set. */
export interface ConnectedClient {
  /** Asks one question. @throws what the client throws */
  readonly ask: (question: Question) => Promise<Reply>;
}

/** A client that others wrote, as the scenarios use it. */
export interface ChatClient {
  /** Its package. */
  readonly name: string;
  readonly connect: (baseUrl: string, key: string) => ConnectedClient;
  readonly toShownError: (error: unknown) => ShownError;
  /** What it shows when something goes wrong. */
  readonly errors: Readonly<Record<Trouble, Partial<ShownError>>>;
  /** What it sends again by itself although nothing but the status suggests it; its users are told to set `maxRetries`. */
  readonly repeats: readonly Trouble[];
  /** Whether it shows what a model thought, in OpenRouter's field. */
  readonly showsReasoning: boolean;
}
