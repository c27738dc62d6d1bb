import type { Case, Contestant } from './cases/case.js';
import { runClosedLoop } from './measure/closed-loop.js';
import { asBearer, openHttpLoad } from './measure/http-load.js';
import { withProcessorTime } from './measure/processor-time.js';
import type { BenchAccount, Stage } from './stage/stage.js';

const CONNECTIONS = [1, 10, 50];
const MOST_ACCOUNTS = 16;
const SHORT_PROMPT = 'Hello! How are you?';
/** A prompt as long as those of agents that have read a good deal of code: about 500 KB. */
const LONG_PROMPT = 'const value = compute(1, 2.5, "text"); // and more of it\n'.repeat(9_000);

/** How long a stream of `bench/paced` takes, about: its connections begin spread over that time. */
const PACED_MS = 600;

/** Where to send requests, and as whom. */
interface Path {
  readonly name: string;
  readonly url: string;
  readonly tokens: readonly string[];
}

/** What is compared: how many requests at once, of which model, and with which prompt. */
interface Load {
  readonly suffix: string;
  readonly concurrency: number;
  readonly model?: string;
  readonly prompt?: string;
  readonly spreadMs?: number;
}

/** Returns the request of a stream. */
export function toChatRequest(path: string, token: string, content = SHORT_PROMPT, model = 'bench/short') {
  return asBearer(token, 'POST', path, { model, stream: true, messages: [{ role: 'user', content }] });
}

function openPath(stage: Stage, path: Path, loads: readonly Load[], isReference: boolean) {
  const http = openHttpLoad(path.url, Math.max(...loads.map(({ concurrency }) => concurrency)));
  const { pathname } = new URL(path.url);
  const contestants = loads.map(({ suffix, concurrency, model, prompt, spreadMs = 0 }): Contestant => {
    const requests = path.tokens.map((token) => toChatRequest(pathname, token, prompt, model));
    const send = async (connection: number) => {
      const request = requests[connection % requests.length];
      return request && http.send(connection, request);
    };
    const measure = (seconds: number) => runClosedLoop({ connections: concurrency, seconds, spreadMs, send });
    return {
      name: `${path.name}${suffix}`,
      connections: concurrency,
      ...(isReference ? { isReference, run: measure } : { against: [`upstream${suffix}`] }),
      run: (seconds) =>
        isReference ? measure(seconds) : withProcessorTime(stage.server.processes, () => measure(seconds)),
    };
  });
  return { contestants, close: http.close };
}

/** Streams through the server, next to the same from the provider: what holding, metering and settling add. */
export const chat: Case = {
  name: 'chat',
  question: 'POST /v1/chat/completions, streamed, next to the same from the provider: p50 is the last byte',
  compares: 'first',
  adds: ['first', 'p50'],
  warmsUp: true,
  open: async (stage, { connections = CONNECTIONS }) => {
    const accounts: readonly BenchAccount[] = await stage.accounts(Math.min(Math.max(...connections), MOST_ACCOUNTS));
    const loads: Load[] = connections.map((concurrency) => ({ suffix: '', concurrency }));
    // Where the provider takes no time, a crowd shows how many streams the machine has time for; here, what each waits.
    const paced = { suffix: ', paced', model: 'bench/paced', spreadMs: PACED_MS };
    loads.push(...connections.map((concurrency) => ({ ...paced, concurrency })));
    loads.push({ suffix: ', 500 KB', concurrency: 1, prompt: LONG_PROMPT });
    const { url, upstreamUrl } = stage.server;
    const direct = { name: 'upstream', url: `${upstreamUrl}/chat/completions`, tokens: ['bench'] };
    const tokens = accounts.map(({ token }) => token);
    const metered = { name: 'chat', url: `${url}/api/v1/chat/completions`, tokens };
    const opened = [openPath(stage, metered, loads, false), openPath(stage, direct, loads, true)];
    return {
      contestants: opened.flatMap(({ contestants }) => contestants),
      close: async () => void (await Promise.all(opened.map(({ close }) => close()))),
    };
  },
};
