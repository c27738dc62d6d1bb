import type { Test } from 'tap';
import { createApiKey } from '../accounts.js';
import { type ChatServer, readBalance, readGenerations, userWith } from '../chat.js';
import type { Answering } from '../fakes/openrouter.js';
import { untilTrue } from '../until.js';
import type { ChatClient, Question, ShownError, Trouble } from './chat-client.js';
import type { Wire } from './wire.js';

const TOKENS = 10_000;

/** Answers requests one after the other, the last answer for good. */
export function inTurn(...answers: readonly Answering[]): Answering {
  let next = 0;
  return (response, request) => {
    const answer = answers[Math.min(next, answers.length - 1)];
    next += 1;
    return answer?.(response, request);
  };
}

/** Answers with an error of upstream's. */
export const fail =
  (status: number, error: object, headers: Record<string, string> = {}): Answering =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify({ error }));
  };

/** What a test of one client has at hand. */
export interface Stage {
  readonly client: ChatClient;
  readonly wire: Wire;
  readonly server: ChatServer;
  readonly baseUrl: string;
}

/** Somebody with tokens and a key, who asks through the client. */
export async function enter({ client, server, baseUrl }: Stage, tokens = TOKENS) {
  const user = await userWith(server, tokens);
  const { ask } = client.connect(baseUrl, await createApiKey(user));
  const before = server.upstream.requests.length;
  return {
    ask,
    /** The requests that reached upstream since. */
    requests: () => server.upstream.requests.slice(before),
    readUsed: async () => (await readBalance(server, user)).used,
    /** Waits until as many requests are settled, and none is open. */
    settled: (count: number) =>
      untilTrue(async () => {
        const generations = await readGenerations(server, user);
        return generations.length === count && generations.every(({ status }) => status === 'settled');
      }),
  };
}

/** Asks what must go wrong, and asserts what the client shows. */
export async function expectTrouble(
  t: Test,
  client: ChatClient,
  trouble: Trouble,
  ask: (retries: Pick<Question, 'maxRetries'>) => Promise<unknown>,
): Promise<ShownError> {
  const retries = client.repeats.includes(trouble) ? { maxRetries: 0 } : {};
  const shown = await ask(retries).then(
    () => ({ kind: 'nothing', message: 'the client shows no error' }),
    (error: unknown) => client.toShownError(error),
  );
  t.match(shown, client.errors[trouble], `${trouble} is shown`);
  return shown;
}

/** A row of the matrix: what happens, streamed and whole. */
export type Scenario = (t: Test, stage: Stage, isStreaming: boolean) => Promise<void>;
