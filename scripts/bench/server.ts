import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';

/** A server with an embedded database of its own, and the upstream it asks. */
export interface BenchServer {
  readonly url: string;
  readonly upstreamUrl: string;
  /** Memory of the server's process in bytes; undefined where the system does not say. */
  readonly memory: () => Promise<number | undefined>;
  readonly close: () => Promise<void>;
}

const AddressSchema = Type.Object({ port: Type.Integer() });

async function startUpstream(): Promise<{ url: string; process: ChildProcess }> {
  const child = fork(join(PROJECT_ROOT, 'dist/scripts/bench/upstream.js'));
  const [address]: unknown[] = await once(child, 'message');
  const { port } = Value.Decode(AddressSchema, address);
  return { url: `http://127.0.0.1:${port}/api/v1`, process: child };
}

/** Reads the server's output up to its address. */
async function readyAddress(server: ChildProcess): Promise<string> {
  let said = '';
  for await (const piece of server.stdout ?? []) {
    said += String(piece);
    const [, address] = /ready at (\S+)\n/.exec(said) ?? [];
    if (address !== undefined) return address;
  }
  throw new Error('the server did not start');
}

async function readMemory(pid: number | undefined): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1_024;
}

/** Starts both in processes of their own, over a database in a temporary folder. */
export async function startBenchServer(): Promise<BenchServer> {
  const upstream = await startUpstream();
  const directory = await mkdtemp(join(tmpdir(), 'tokenledger-bench-'));
  const server = spawn(process.execPath, [join(PROJECT_ROOT, 'dist/src/server.js')], {
    cwd: directory,
    env: {
      PATH: process.env['PATH'],
      PORT: '0',
      LOG_LEVEL: 'silent',
      RATE_LIMIT: 'off',
      DEFAULT_USER_TOKENS: '1000000000000',
      OPENROUTER_API_KEY: 'bench',
      OPENROUTER_BASE_URL: upstream.url,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return {
    url: await readyAddress(server),
    upstreamUrl: upstream.url,
    memory: () => readMemory(server.pid),
    close: async () => {
      server.stdout?.resume();
      server.kill('SIGTERM');
      await once(server, 'exit');
      upstream.process.disconnect();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
