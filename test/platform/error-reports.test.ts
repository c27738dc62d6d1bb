import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { openCanaries } from '../helpers/canaries.js';
import { openTestDatabase } from '../helpers/db/test-database.js';
import { openSentryServer } from '../helpers/fakes/sentry-server.js';
import { assertRefused, openDirectory, startServer } from '../helpers/http/server-process.js';
import t from '../helpers/run/tap.js';

const secrets = openCanaries();
/** A secret nobody made before. */
const canary = () => secrets.add(`canary-${randomBytes(24).toString('hex')}`);

/** Registrations, and the check of the books, fail with an error that quotes what was sent. */
const BROKEN = (secret: string) => `
  create function private.break() returns trigger language plpgsql as $$
  begin raise exception 'no % here, %', new.name, E'because:\\n    at ${secret} (/srv/${secret}.js:1:1)'; end $$;
  create trigger broken before insert on devices for each row execute function private.break();
  create or replace function public.check_ledger(p_hours integer) returns jsonb language plpgsql as $$
  begin raise exception 'no ${secret} either'; end $$;`;

/** Has a process end because of a promise nobody looked after, when it is told to. */
const rejectOnSignal = (secret: string) =>
  `--import=data:text/javascript,${encodeURIComponent(`process.on('SIGUSR2', () => Promise.reject(new TypeError('${secret}')))`)}`;

const PACKAGE_MISSING = `--import=data:text/javascript,${encodeURIComponent(`
  import { register } from 'node:module';
  register('data:text/javascript,' + encodeURIComponent(\`export async function resolve(name, context, next) {
    return name === '@sentry/node' ? next('@sentry/not-installed', context) : next(name, context);
  }\`));`)}`;

const database = await openTestDatabase(t);
await database.sql(BROKEN(canary()));
const DATABASE = { DATABASE_URL: database.serverUrl, JWT_SECRET: canary() };

t.test('Sentry is told of unforeseen errors, and of nothing that anybody sent', async (t) => {
  const sentry = await openSentryServer(t);
  const directory = await openDirectory(t);
  const environment = {
    ...DATABASE,
    SENTRY_DSN: sentry.dsn,
    LOG_LEVEL: 'trace',
    NODE_OPTIONS: rejectOnSignal(canary()),
  };
  const server = startServer(t, { cwd: directory.path, environment });
  const url = await server.ready();

  const requestId = randomUUID();
  const register = (id: string) =>
    fetch(`${url}/api/devices/register?token=${canary()}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-request-id': id,
        'user-agent': canary(),
        'x-api-key': canary(),
        cookie: `session=${canary()}`,
        'x-forwarded-for': '192.0.2.77',
      },
      body: JSON.stringify({ device_name: canary(), hardware_fingerprint: canary() }),
    });
  t.equal((await register(requestId)).status, 500);
  const failed = await sentry.find('request_id', requestId);
  t.strictSame(failed.tags, {
    kind: 'request',
    method: 'POST',
    route: '/devices/register',
    request_id: requestId,
  });
  t.match(failed.exception.values, [{ type: 'DatabaseError', value: 'P0001' }]);
  const files = failed.exception.values.flatMap(({ stacktrace }) => stacktrace.frames.map(({ filename }) => filename));
  t.ok(files.length > 0, 'where it came up is known');
  t.ok(
    files.every((file) => /^(app:\/\/\/(dist|node_modules)\/|node:)/.test(file)),
    files.join(),
  );

  t.equal((await register(canary())).status, 500);
  t.match((await sentry.find('kind', 'job')).tags, { job: 'checking the ledger' });
  t.equal((await fetch(`${url}/api/devices/me?token=${canary()}`)).status < 500, true);

  server.signal('SIGUSR2');
  t.strictSame(await server.ended, { code: 1, signal: null }, 'what nobody caught ends the process, as without Sentry');
  t.match((await sentry.find('kind', 'process')).exception.values, [{ type: 'TypeError', value: 'see the log' }]);
  t.match(server.stderr(), /TypeError/);
  t.equal(sentry.events.filter(({ tags }) => tags['kind'] === 'request').length, 2, 'a refusal is no error');

  const sent = sentry.requests.join('\n');
  t.strictSame(secrets.foundIn(sent), [], 'no secret was sent');
  t.notMatch(sent, /192\.0\.2\.77|user-agent":"canary|breadcrumbs|server_name|"transaction"/);
  t.notMatch(sent, new RegExp(directory.path), 'nor where it runs');
  t.notMatch(server.stdout() + server.stderr(), /0123456789abcdef/, 'the DSN is no line of the log');
});

t.test('a server stops though Sentry does not answer, and a start without its package says what to do', async (t) => {
  const directory = await openDirectory(t);
  const start = (environment: Record<string, string>) => startServer(t, { cwd: directory.path, environment });
  const silent = createServer((socket) => socket.on('error', () => {}));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => silent.close());
  const { port }: AddressInfo = Object(silent.address());
  const SENTRY_DSN = `http://0123456789abcdef@127.0.0.1:${port}/1`;
  await assertRefused(
    t,
    start({ SENTRY_DSN, NODE_OPTIONS: PACKAGE_MISSING }),
    /^SENTRY_DSN needs a package that is not installed: run "npm install --no-save --save-prod --omit=dev @sentry\/node@10"/,
  );
  const wrong = start({ SENTRY_DSN: 'https://0123456789abcdef@sentry.example.com/project' });
  await assertRefused(t, wrong, /^Bad configuration: SENTRY_DSN/);
  t.notMatch(wrong.stderr(), /0123456789abcdef/);

  const told = once(silent, 'connection');
  const server = start({ ...DATABASE, SENTRY_DSN });
  await server.ready();
  await told;
  server.signal('SIGTERM');
  t.strictSame(await server.ended, { code: 0, signal: null });
});

t.end();
