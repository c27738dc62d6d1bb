import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Test } from 'tap';

/** Ways in which a provider answers at once, but not as it should. */
export const QUICK_MOODS = ['html', 'redirects', 'breaks off', 'not json', 'list', '500', '429'] as const;
/** Ways to keep somebody waiting: before the answer, and in the middle of it. */
export const SLOW_MOODS = ['hangs', 'stalls'] as const;
export type Mood = (typeof QUICK_MOODS)[number] | (typeof SLOW_MOODS)[number];

/** A provider on this machine that can be in a bad mood. */
export interface MoodyServer {
  readonly url: string;
  /** Requests for a path, in whatever mood. */
  readonly requests: { readonly method: string; readonly url: string; readonly headers: IncomingMessage['headers'] }[];
  /** How a path misbehaves from now on; without a mood all is well again. */
  readonly setMood: (path: string, mood?: Mood) => void;
}

/** A request as a provider sees it. */
export interface Asked {
  readonly url: URL;
  readonly body: string;
  readonly authorization: string | undefined;
}

/**
 * What is answered when all is well: JSON, or only a `status`, with a `challenge` for the header WWW-Authenticate, or an address
 * to `redirect` to; undefined for a 404.
 */
export type Answers = (asked: Asked, baseUrl: string) => object | undefined;

function send(response: ServerResponse, answer: object = { status: 404 }): void {
  if ('redirect' in answer) {
    response.writeHead(302, { location: String(answer.redirect) }).end();
    return;
  }
  const status = 'status' in answer ? Number(answer.status) : 200;
  const challenge = 'challenge' in answer && { 'www-authenticate': String(answer.challenge) };
  response.writeHead(status, { 'content-type': 'application/json', ...challenge }).end(JSON.stringify(answer));
}

function misbehave(mood: Mood, response: ServerResponse): void {
  const json = { 'content-type': 'application/json' };
  switch (mood) {
    case 'hangs':
      return;
    case 'stalls':
      response.writeHead(200, json).write('{');
      return;
    case 'html':
      response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Maintenance</h1>');
      return;
    case 'redirects':
      response.writeHead(307, { location: '/trap' }).end();
      return;
    case 'breaks off':
      response.destroy();
      return;
    case 'not json':
      response.writeHead(200, json).end('{"access_token":');
      return;
    case 'list':
      response.writeHead(200, json).end('[1]');
      return;
    default:
      response.writeHead(Number(mood), json).end('{"message":"later"}');
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  return body;
}

/** Starts a provider; it ends with the test. */
export async function openMoodyServer(t: Test, answers: Answers): Promise<MoodyServer> {
  const moods = new Map<string, Mood>();
  let baseUrl = '';
  const requests: MoodyServer['requests'] = [];
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '', baseUrl);
    requests.push({ method: request.method ?? '', url: url.href, headers: request.headers });
    const body = await readBody(request);
    const mood = moods.get(url.pathname);
    if (mood !== undefined) return misbehave(mood, response);
    send(response, answers({ url, body, authorization: request.headers.authorization }, baseUrl));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the server has no address');
  baseUrl = `http://127.0.0.1:${address.port}`;
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: baseUrl,
    requests,
    setMood: (path, mood) => {
      if (mood === undefined) moods.delete(path);
      else moods.set(path, mood);
    },
  };
}
