import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { runScript } from '../helpers/http/run-script.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t, { type Test } from '../helpers/run/tap.js';

const ROWS = 60;
const server = await openTestServer(t);

/** How a request comes through: as it is, with its answer lost on the way back, or refused with a status. */
type Passage = 'through' | 'lost' | number;

async function forward(request: IncomingMessage, response: ServerResponse, passage: Passage): Promise<void> {
  const payload = await text(request);
  if (typeof passage === 'number') {
    response.writeHead(passage, { 'retry-after': '0' }).end();
    return;
  }
  const { method, url = '', headers } = request;
  const answer = await server.app.inject({ method: method === 'POST' ? 'POST' : 'GET', url, headers, payload });
  if (passage === 'lost') response.destroy();
  else response.writeHead(answer.statusCode, { 'content-type': 'application/json' }).end(answer.payload);
}

/** Listens in front of the server, like a network that lets `passageOf` decide about each request. */
async function openFront(t: Test, passageOf: (request: IncomingMessage) => Passage): Promise<string> {
  const front = createServer((request, response) => {
    forward(request, response, passageOf(request)).catch(() => response.destroy());
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  t.after(() => {
    front.close();
    front.closeAllConnections();
  });
  const address = front.address();
  return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}

function trace(t: Test): string {
  const lines = Array.from({ length: ROWS }, (_, n) => `${n}\n`);
  return join(t.testdir({ 'trace.csv': `row\n${lines.join('')}` }), 'trace.csv');
}

async function countEvents(): Promise<number> {
  return (await server.database.sql('select id from usage_events')).length;
}

t.test('prompts whose answer is lost, and those refused in passing, are sent again and charged once', async (t) => {
  const seen = new Set<unknown>();
  const troubles: Passage[] = ['lost', 503, 429, 502, 'through'];
  const url = await openFront(t, ({ headers }) => {
    const key = headers['idempotency-key'];
    if (key === undefined || seen.has(key)) return 'through';
    seen.add(key);
    return troubles[seen.size % troubles.length] ?? 'through';
  });
  const before = await countEvents();
  const result = await runScript(t, 'replay/main', ['--url', url, '--file', trace(t), '--devices', '4']);
  t.equal(result.code, 0, result.stderr);
  t.match(result.stdout, /^sent +108$/m);
  t.match(result.stdout, /^recorded +60$/m);
  t.match(result.stdout, /^retried +48$/m, 'four of five were in trouble once');
  t.equal((await countEvents()) - before, ROWS);
  await server.verifyLedger(t);
});

t.test('a run whose server goes away is given up, and resumed it charges only what is missing', async (t) => {
  let uses = 0;
  const url = await openFront(t, ({ headers }) => {
    if (headers['idempotency-key'] === undefined) return 'through';
    uses += 1;
    if (uses === 20) return 'lost';
    return uses < 20 ? 'through' : 503;
  });
  const run = randomUUID();
  const args = ['--file', trace(t), '--devices', '4', '--run', run];
  const before = await countEvents();
  const broken = await runScript(t, 'replay/main', ['--url', url, ...args]);
  t.equal(broken.code, 1);
  // A slow run shows its progress before.
  const [said] = broken.stderr.trimEnd().split('\n').slice(-1);
  t.equal(said, `Given up: no answer (HTTP 503). To resume, run the same command with --run ${run}`);
  t.match(broken.stdout, /^recorded +19$/m);
  t.equal((await countEvents()) - before, 20, 'the use whose answer was lost is recorded, too');

  const resumed = await runScript(t, 'replay/main', ['--url', await server.listen(), ...args]);
  t.equal(resumed.code, 0, resumed.stderr);
  t.match(resumed.stdout, /^recorded +60$/m);
  t.equal((await countEvents()) - before, ROWS);
  await server.verifyLedger(t);
});

// The server still listens: only an end that is named closes it.
t.end();
