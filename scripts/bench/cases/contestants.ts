import { runClosedLoop } from '../measure/closed-loop.js';
import { type LoadRequest, openHttpLoad } from '../measure/http-load.js';
import { withProcessorTime } from '../measure/processor-time.js';
import { type NaiveKind, type NaiveSubject, openNaive } from '../naive/open.js';
import { startProgram } from '../server.js';
import { type DirectCalls, openDirectCalls } from '../stage/direct.js';
import { type RecordedCall, recordCalls } from '../stage/record-calls.js';
import type { Stage } from '../stage/stage.js';
import type { Contestant } from './case.js';

/** How many direct calls are made at a time: alone, and as many as keep two to four cores busy. */
const DIRECT_CONNECTIONS = [1, 8];
/** Stands in a recorded request for what must differ each time. */
const UNIQUE = 'bench-unique';

/** Builds the request of a connection; `unique` is another text each time. */
export type ToRequest = (connection: number, unique: string) => LoadRequest;

/** A contestant, and what must be closed after it. */
export interface OpenedContestants {
  readonly contestants: readonly Contestant[];
  readonly close: () => Promise<void>;
}

interface HttpContestants {
  readonly name: string;
  readonly isReference?: true;
  readonly origin: string;
  readonly connections: readonly number[];
  readonly toRequest: ToRequest;
  /** The process that answers, where it is another than the server's. */
  readonly node?: number;
}

/** Opens contestants that send requests to a server, one for each number of connections. */
export function openHttpContestants(stage: Stage, options: HttpContestants): OpenedContestants {
  const { name, isReference, origin, toRequest } = options;
  const load = openHttpLoad(origin, Math.max(...options.connections));
  const { node = stage.server.processes.node } = options;
  let count = 0;
  const contestants = options.connections.map((connections) => ({
    name,
    ...(isReference && { isReference }),
    connections,
    run: (seconds: number) => {
      const send = (connection: number) => {
        count += 1;
        return load.send(connection, toRequest(connection, `${name}-${count}`)).then(() => undefined);
      };
      return withProcessorTime({ ...stage.server.processes, node }, () =>
        runClosedLoop({ connections, seconds, send }),
      );
    },
  }));
  return { contestants, close: load.close };
}

/** Opens the route of the same server that asks no database. */
export function openNoDatabase(stage: Stage, connections: readonly number[]): OpenedContestants {
  return openHttpContestants(stage, {
    name: 'no database',
    isReference: true,
    origin: stage.server.url,
    connections,
    toRequest: () => ({ method: 'GET', path: '/healthz' }),
  });
}

function toDirectContestants(stage: Stage, name: string, calls: DirectCalls): OpenedContestants {
  let count = 0;
  const send = async (connection: number) => {
    count += 1;
    await calls.send(connection, (text) => text.replaceAll(UNIQUE, `direct-${count}`));
    return undefined;
  };
  const contestants = DIRECT_CONNECTIONS.map((connections) => ({
    name,
    isReference: true as const,
    connections,
    run: async (seconds: number) => {
      const measured = await withProcessorTime(stage.server.processes, () =>
        runClosedLoop({ connections, seconds, send }),
      );
      // Nothing of the server is part of it.
      const { node: _idle, ...figures } = measured;
      return figures;
    },
  }));
  return { contestants, close: calls.close };
}

/** Opens a server with one route that makes the same calls: what HTTP and the database cost together at the least. */
async function openBareRoute(stage: Stage, calls: readonly RecordedCall[]): Promise<OpenedContestants> {
  const { url, process: child } = await startProgram('bare-server.js', {
    BARE_DATABASE_URL: stage.server.adminUrl,
    BARE_CALLS: JSON.stringify(calls),
  });
  const { contestants, close } = openHttpContestants(stage, {
    name: 'bare route',
    isReference: true,
    origin: url,
    connections: DIRECT_CONNECTIONS,
    node: child.pid ?? 0,
    toRequest: (connection) => ({ method: 'POST', path: `/calls/${connection}` }),
  });
  return {
    contestants,
    close: async () => {
      await close();
      child.disconnect();
    },
  };
}

/**
 * Opens direct calls of the function that a request leads to, without the server: one call, one item.
 * @param hasBareRoute whether the same calls are made by a server that does nothing else, too
 */
export async function openDirect(
  stage: Stage,
  toRequest: ToRequest,
  hasBareRoute: boolean,
): Promise<OpenedContestants> {
  const requests = Array.from({ length: Math.max(...DIRECT_CONNECTIONS) }, (_, connection) =>
    toRequest(connection, UNIQUE),
  );
  const calls = await recordCalls(stage.server, requests);
  const direct = toDirectContestants(stage, 'direct', await openDirectCalls(stage.server.adminUrl, calls));
  return hasBareRoute ? joinContestants([direct, await openBareRoute(stage, calls)]) : direct;
}

/** A route of the naive server. */
export interface NaiveRoute {
  readonly who: NaiveKind;
  /** How many requests are made at a time. */
  readonly connections: readonly number[];
  readonly toRequest: (subject: NaiveSubject, unique: string) => LoadRequest;
  /** Whether the plain function that debits one use is called, too. */
  readonly hasFloor?: boolean;
}

/** Opens the naive server of the contracts, and where asked for the plain function. */
export async function openNaiveContestants(stage: Stage, route: NaiveRoute): Promise<OpenedContestants> {
  const { who, connections, hasFloor = false } = route;
  const naive = await openNaive(stage.server.adminUrl, who, Math.max(...connections, ...DIRECT_CONNECTIONS));
  const server = openHttpContestants(stage, {
    name: 'naive',
    isReference: true,
    origin: naive.url,
    connections,
    node: naive.pid,
    toRequest: (connection, unique) => {
      const subject = naive.subjects[connection];
      if (subject === undefined) throw new Error('nobody is there');
      return route.toRequest(subject, unique);
    },
  });
  const toCall = ({ id }: NaiveSubject): RecordedCall => ({
    name: 'debit',
    args: { p_device_id: id, p_model: 'bench', p_prompt_count: 1 },
  });
  const floorCalls = hasFloor
    ? await openDirectCalls(naive.databaseUrl, naive.subjects.slice(0, Math.max(...DIRECT_CONNECTIONS)).map(toCall))
    : undefined;
  const floor = floorCalls && toDirectContestants(stage, 'floor', floorCalls);
  return {
    contestants: [...(floor?.contestants ?? []), ...server.contestants],
    close: async () => {
      await Promise.all([server.close(), floor?.close()]);
      naive.close();
    },
  };
}

/** Puts contestants together. */
export function joinContestants(opened: readonly OpenedContestants[]): OpenedContestants {
  return {
    contestants: opened.flatMap(({ contestants }) => contestants),
    close: async () => void (await Promise.all(opened.map(({ close }) => close()))),
  };
}
