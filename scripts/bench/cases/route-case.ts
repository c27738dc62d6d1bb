import type { Stage } from '../stage/stage.js';
import type { Case } from './case.js';
import {
  joinContestants,
  type NaiveRoute,
  type OpenedContestants,
  openDirect,
  openHttpContestants,
  openNaiveContestants,
  openNoDatabase,
  type ToRequest,
} from './contestants.js';

/** How many requests are made at a time: alone, a busy server, a crowd. */
const CONNECTIONS = [1, 64, 256];

/** A case of one route of the server. */
export interface RouteCase {
  readonly name: string;
  readonly question: string;
  /** How many requests at a time make sense, where it is not the usual. */
  readonly connections?: readonly number[];
  /** Makes what the requests need, and builds them. */
  readonly prepare: (stage: Stage, connections: number) => Promise<ToRequest>;
  /** Whether the function is called directly, too. */
  readonly isCalledDirectly: boolean;
  /** Whether a server that does nothing else makes the same call, too; the call must do the same each time. */
  readonly hasBareRoute?: boolean;
  /** The same for the naive server, where it has it. */
  readonly naive?: NaiveRoute;
  /** What the least of it costs, where that is no request. */
  readonly openFloor?: () => OpenedContestants;
}

/** Makes a case of it. */
export function toCase(route: RouteCase): Case {
  const { name, question, prepare, isCalledDirectly, hasBareRoute = false, naive, openFloor } = route;
  return {
    name,
    question,
    compares: 'rate',
    warmsUp: true,
    open: async (stage, settings) => {
      const connections = settings.connections ?? route.connections ?? CONNECTIONS;
      const toRequest = await prepare(stage, Math.max(...connections, 8));
      const opened = [
        openHttpContestants(stage, { name, origin: stage.server.url, connections, toRequest }),
        openNoDatabase(stage, connections),
        ...(isCalledDirectly ? [await openDirect(stage, toRequest, hasBareRoute)] : []),
        ...(naive ? [await openNaiveContestants(stage, naive)] : []),
        ...(openFloor ? [openFloor()] : []),
      ];
      return joinContestants(opened);
    },
  };
}

/** Returns the member of a list that a connection acts as. */
export const choose = <T>(list: readonly T[], connection: number): T => {
  const chosen = list[connection % list.length];
  if (chosen === undefined) throw new Error('nobody is there');
  return chosen;
};
