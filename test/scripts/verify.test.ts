import { AnyResult } from '../../src/platform/database/client/database.js';
import { registerUser } from '../helpers/accounts.js';
import { runScript } from '../helpers/http/run-script.js';
import { openTestServer, testEnvironment } from '../helpers/http/test-server.js';
import { createUsage, recordAll } from '../helpers/observed-usage.js';
import t from '../helpers/run/tap.js';

t.test(
  'the command proves the books, sealed months one by one where it is told to, and fails where they do not add up',
  async (t) => {
    const server = await openTestServer(t);
    const environment = { ...testEnvironment(server.database), DATABASE_URL: server.database.adminUrl };
    const verify = (...args: string[]) => runScript(t, 'verify', args, environment);
    const twoMonthsAgo = new Date();
    twoMonthsAgo.setUTCMonth(twoMonthsAgo.getUTCMonth() - 2, 15);
    await recordAll(t, await registerUser(server), [createUsage({ timestamp: twoMonthsAgo.getTime() })]);
    t.match(await server.backend.database.call('keep_seals', {}, AnyResult), { sealed: true });

    const sound = await verify('--full');
    t.equal(sound.code, 0);
    t.match(sound.stdout, /^ok {5}month \d{4}-\d\d, 1 of 1, checksum -?\d+ \(\d+ compared\)\nok {5}allocated = /);
    await server.verifyLedger(t);
    await server.database.sql('update usage_rollups set events = events + 1');
    const broken = await verify();
    t.equal(broken.code, 1);
    t.match(broken.stdout, /^FAILED rollups = sums of events \(\d+ compared\)\n {7}\{"proven":/m);
  },
);

t.end();
