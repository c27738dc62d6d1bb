import { parseConfig } from '../../src/config/config.js';
import { listPlatformNotices } from '../../src/config/host.js';
import { openDirectory, startServer } from '../helpers/http/server-process.js';
import t from '../helpers/run/tap.js';

const HEROKU = { DYNO: 'web.1' };
const EXTERNAL = { DATABASE_URL: 'postgres://x@localhost/x', JWT_SECRET: 'x'.repeat(32) };

const hostOf = (variables: Record<string, string>) => parseConfig(variables).http.host;
const noticesOf = (variables: Record<string, string>, embedded = false) =>
  listPlatformNotices(parseConfig(variables).http, variables, embedded);

t.test('only this machine is listened to, unless it is told otherwise', (t) => {
  t.equal(hostOf({}), '127.0.0.1');
  t.equal(hostOf({ HOST: '' }), '127.0.0.1');
  t.equal(hostOf({ HOST: '::' }), '::');
  t.strictSame(noticesOf({}, true), []);
  t.end();
});

t.test('on a platform whose router comes over the network it is every interface', (t) => {
  const platforms = {
    DYNO: 'web.1',
    RAILWAY_ENVIRONMENT_ID: '4a2b',
    RENDER: 'true',
    FLY_APP_NAME: 'tokens',
    K_SERVICE: 'tokens',
    KUBERNETES_SERVICE_HOST: '10.0.0.1',
  };
  for (const [name, value] of Object.entries(platforms)) {
    t.equal(hostOf({ [name]: value }), '0.0.0.0', name);
    t.equal(hostOf({ [name]: value, HOST: '::' }), '::', `${name}, but HOST is set`);
  }
  t.end();
});

t.test('the operator is told what was chosen, and what does not work there', (t) => {
  t.match(noticesOf({ ...HEROKU, ...EXTERNAL }), [/HOST is not set: listening on 0\.0\.0\.0.*Heroku/, /TRUST_PROXY/]);
  t.strictSame(noticesOf({ ...HEROKU, ...EXTERNAL, HOST: '0.0.0.0', TRUST_PROXY: '10.0.0.0/8' }), []);
  t.match(noticesOf({ ...HEROKU, HOST: '127.0.0.1', TRUST_PROXY: 'false' }, true), [
    /cannot reach the server/,
    /goes with the next deploy/,
  ]);
  t.end();
});

t.test('a server on a platform listens there, and says so in its log', async (t) => {
  const { path: cwd } = await openDirectory(t);
  const server = startServer(t, { cwd, environment: { ...HEROKU, LOG_LEVEL: 'warn' } });
  t.match(await server.ready(), /^http:\/\//);
  t.match(server.stdout(), /HOST is not set: listening on 0\.0\.0\.0/);
  t.match(server.stdout(), /goes with the next deploy/);
  server.signal('SIGTERM');
  await server.ended;
});

t.end();
