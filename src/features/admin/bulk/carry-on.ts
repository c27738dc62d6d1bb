import { Type } from '@sinclair/typebox';
import type { FastifyBaseLogger, FastifyInstance, FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import { type Database, LONG_TIMEOUT_MS } from '../../../platform/database/client/database.js';
import { createRounds, type Rounds } from '../../../platform/rounds.js';

const CARRYING_ON = 'bulkChanges';
const LONG = { timeoutMs: LONG_TIMEOUT_MS };
const CarriedOnSchema = Type.Object({
  id: Type.Union([Type.String(), Type.Null()]),
  runs: Type.Boolean({ description: 'Whether the server goes on with it.' }),
});

/** Does what is left of the bulk changes that the server was told to do by itself. Any number of servers may do so at once. */
function createCarryingOn(database: Database, log: FastifyBaseLogger): Rounds {
  return createRounds(
    async () => (await database.call('carry_on_bulk_change', {}, CarriedOnSchema, LONG)).id !== null,
    // Nobody of that hundred was changed: they are tried again with the next round.
    (error) => log.warn({ err: error }, 'bulk changes could not be carried on'),
  );
}

/** Returns what does bulk changes behind the answers' back. */
export function findBulkChanges(app: FastifyInstance): Pick<Rounds, 'wake'> {
  return app.getDecorator<Rounds>(CARRYING_ON);
}

const carryOn: FastifyPluginAsync<{ database: Database }> = async (app, { database }) => {
  const carryingOn = createCarryingOn(database, app.log);
  app.decorate(CARRYING_ON, carryingOn);
  app.addHook('onClose', carryingOn.stop);
};

/** Does bulk changes by itself when it is woken; the application closes when the hundred under way have been changed. */
export const bulkChanges = fp(carryOn, { name: 'bulk-changes' });
