import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import { toChatRequest } from '../chat.js';
import { type Measurement, runClosedLoop } from '../measure/closed-loop.js';
import { asBearer, openHttpLoad } from '../measure/http-load.js';
import { tryPatiently } from '../measure/patiently.js';
import { readMemory } from '../measure/processes.js';
import { startServer } from '../server.js';
import type { Stage } from '../stage/stage.js';
import type { Case } from './case.js';

const CONNECTIONS = 64;
const OPEN_STREAMS = 500;
const BYTES_PER_MEGABYTE = 1_048_576;
const REQUESTS = [1_000, 10_000];
const LONG_REQUESTS = [1_000, 10_000, 100_000, 1_000_000];

async function measureMemory(pid: number): Promise<Measurement> {
  const bytes = await readMemory(pid);
  return bytes === undefined ? {} : { megabytes: bytes / BYTES_PER_MEGABYTE };
}

/** Returns a function that goes on debiting devices until so many requests were made. */
async function openDebits(stage: Stage) {
  const http = openHttpLoad(stage.server.url, CONNECTIONS);
  const devices = await stage.devices(CONNECTIONS);
  const requests = devices.map(({ token }) => asBearer(token, 'POST', '/api/usage/log', { model_type: 'gpt-5' }));
  let made = 0;
  const send = async (connection: number) => {
    const debit = requests[connection];
    if (debit !== undefined) await tryPatiently(() => http.send(connection, debit));
    made += 1;
    return undefined;
  };
  return {
    runUntil: async (count: number) => {
      while (made < count) await runClosedLoop({ connections: CONNECTIONS, seconds: 0.5, send });
    },
    close: http.close,
  };
}

/** Opens streams that do not end, and returns what they take altogether. */
async function measureStreams(stage: Stage): Promise<Measurement> {
  const [account] = await stage.accounts(1);
  const { headers = {}, body = '' } = toChatRequest('', account?.token ?? '', 'Hello', 'bench/open');
  const url = `${stage.server.url}/api/v1/chat/completions`;
  const before = await readMemory(stage.server.processes.node);
  const open = () => request(url, { method: 'POST', headers: { ...headers }, body });
  const streams = await Promise.all(Array.from({ length: OPEN_STREAMS }, open));
  await Promise.all(streams.map((stream) => stream.body[Symbol.asyncIterator]().next()));
  const after = await readMemory(stage.server.processes.node);
  for (const stream of streams) stream.body.on('error', () => {}).destroy();
  if (before === undefined || after === undefined) return {};
  return { megabytes: after / BYTES_PER_MEGABYTE, kilobytes: (after - before) / 1_024 / OPEN_STREAMS };
}

/** The memory of the server's processes, without Postgres. */
export const memory: Case = {
  name: 'memory',
  question: `Memory of Node: at rest, after so many debits, and with ${OPEN_STREAMS} open streams (KB each)`,
  compares: 'megabytes',
  mostRounds: 1,
  warmsUp: false,
  open: async (stage, { long }) => {
    const directory = await mkdtemp(join(tmpdir(), 'tokenledger-bench-'));
    const debits = await openDebits(stage);
    const measureAtRest = async () => {
      const server = await startServer(directory);
      const measured = await measureMemory(server.pid);
      await server.stop();
      return measured;
    };
    return {
      contestants: [
        { name: 'at rest', isReference: true, run: measureAtRest },
        ...(long ? LONG_REQUESTS : REQUESTS).map((count) => ({
          name: `after ${count.toLocaleString('en-US')}`,
          ...(count === 100_000 && { isReference: true as const, against: ['at rest'] }),
          run: async () => {
            await debits.runUntil(count);
            return measureMemory(stage.server.processes.node);
          },
        })),
        { name: `${OPEN_STREAMS} streams`, against: ['at rest'], run: () => measureStreams(stage) },
      ],
      close: async () => {
        await debits.close();
        await rm(directory, { recursive: true, force: true });
      },
    };
  },
};
