import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseYaml } from '@redocly/openapi-core';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { parseConfig } from '../../src/config/config.js';
import { EnvironmentSchema } from '../../src/config/environment-schema.js';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import t from '../helpers/run/tap.js';

const read = (path: string) => readFile(join(PROJECT_ROOT, path), 'utf8');

const TextsSchema = Type.Record(Type.String(), Type.String());
const ConditionsSchema = Type.Record(Type.String(), Type.Object({ condition: Type.String() }));
const ServiceSchema = Type.Object({
  image: Type.String(),
  environment: TextsSchema,
  command: Type.Optional(Type.Array(Type.String())),
  depends_on: Type.Optional(ConditionsSchema),
  ports: Type.Optional(Type.Array(Type.String())),
  volumes: Type.Optional(Type.Array(Type.String())),
  stop_grace_period: Type.Optional(Type.String()),
  restart: Type.String(),
});
const ComposeSchema = Type.Object({
  services: Type.Object({ database: ServiceSchema, migrate: ServiceSchema, server: ServiceSchema }),
  volumes: Type.Record(Type.String(), Type.Null()),
  networks: Type.Object({
    default: Type.Object({
      ipam: Type.Object({ config: Type.Array(Type.Object({ subnet: Type.String(), gateway: Type.String() })) }),
    }),
  }),
});

/** Fills in what Compose takes from `.env`. */
const interpolate = (text: string, variables: Readonly<Record<string, string>>) =>
  text.replaceAll(
    /\$\{(\w+)(?::[-?]([^}]*))?\}/g,
    (_all, name: string, otherwise = '') => variables[name] ?? otherwise,
  );

const compose = Value.Decode(ComposeSchema, parseYaml(await read('compose.yaml')));
const { server, migrate, database } = compose.services;

/** Returns the source of a compiled program that a command runs, `node dist/…`. */
const toSource = (command: string) =>
  /^node dist\/(\S+)\.js$/.exec(command)?.[1]?.concat('.ts') ?? 'no program of ours';

t.test('compose.yaml starts a server on the database beside it, once that is migrated', (t) => {
  const secrets = { JWT_SECRET: 'x'.repeat(32), POSTGRES_PASSWORD: 'secret' };
  const given = Object.entries(server.environment).map(([name, text]) => [name, interpolate(text, secrets)]);
  const config = parseConfig({ HOST: '127.0.0.1', SUPABASE_URL: 'http://x', ...secrets, ...Object.fromEntries(given) });
  t.match(config, {
    http: { host: '0.0.0.0', port: 3000, trustProxy: compose.networks.default.ipam.config[0]?.gateway },
    database: { kind: 'direct', connectionString: 'postgres://postgres:secret@database:5432/postgres' },
  });
  t.strictSame(
    Object.keys(server.environment).filter((name) => !(name in EnvironmentSchema.properties)),
    [],
  );
  t.strictSame(migrate.environment, server.environment);
  t.strictSame(server.depends_on, {
    database: { condition: 'service_healthy' },
    migrate: { condition: 'service_completed_successfully' },
  });
  t.ok(existsSync(join(PROJECT_ROOT, toSource((migrate.command ?? []).join(' ')))));
  t.end();
});

t.test('it is published to this machine only, keeps its data, and is given time to stop', (t) => {
  t.match(server.ports, [/^127\.0\.0\.1:/]);
  t.equal(database.ports, undefined);
  t.match(database.image, /^postgres:17$/);
  t.match(database.volumes, [/^database:/]);
  t.ok('database' in compose.volumes);
  t.ok(Number.parseInt(server.stop_grace_period ?? '', 10) > 45);
  t.strictSame([server.restart, database.restart, migrate.restart], ['unless-stopped', 'unless-stopped', 'no']);
  t.end();
});

t.test('Procfile, railway.json, Dockerfile and package.json run the same programs', async (t) => {
  const lines = (await read('Procfile')).trim().split('\n');
  const processes = Object.fromEntries(lines.map((line) => line.split(': ')));
  t.strictSame(Object.keys(processes), ['release', 'web']);
  for (const command of Object.values<string>(processes))
    t.ok(existsSync(join(PROJECT_ROOT, toSource(command))), command);
  const railway: unknown = JSON.parse(await read('scripts/deploy/railway.json'));
  t.match(railway, {
    build: { dockerfilePath: 'Dockerfile' },
    deploy: { preDeployCommand: [processes['release']], startCommand: processes['web'], healthcheckPath: '/readyz' },
  });
  t.match(await read('Dockerfile'), `CMD ${JSON.stringify(processes['web'].split(' ')).replaceAll(',', ', ')}`);
  const { scripts }: { scripts: Record<string, string> } = JSON.parse(await read('package.json'));
  t.match(scripts['migrate'], processes['release']);
  t.match(scripts['build'], 'build.js', 'which a buildpack runs');
});

t.end();
