import { createMigration, sealUnfinished } from '../../../scripts/database/new-migration.js';
import { readMigrations } from '../../../src/platform/database/migrations/migration-files.js';
import { openMigrationFolder } from '../../helpers/db/migration-folder.js';
import { openTestDatabase } from '../../helpers/db/test-database.js';
import { runScript } from '../../helpers/http/run-script.js';
import t from '../../helpers/run/tap.js';

const { adminUrl } = await openTestDatabase(t);
const NOW = new Date('2099-01-02T03:04:05.678Z');
const FILE = '20990102030405_next.sql';

t.test('where nothing differs there is nothing to write', async (t) => {
  const { directory } = await openMigrationFolder(t);
  await t.rejects(createMigration({ directory, adminUrl }, 'next', NOW), {
    name: 'StartupError',
    message: /^There is nothing to migrate/,
  });
  await t.rejects(sealUnfinished({ directory, adminUrl }), { name: 'StartupError', message: /there is none to seal$/ });
});

t.test('functions, views and policies are written verbatim, and the migration is finished', async (t) => {
  const folder = await openMigrationFolder(t);
  const work = { directory: folder.directory, adminUrl };
  const replace = async (path: string, from: string, to: string) => {
    const text = await folder.read(path);
    t.ok(text.includes(from), `${path} has ${from}`);
    await folder.write(path, text.replace(from, to));
  };
  await replace('schemas/ledger/functions/balance_json.sql', "'allocated'", "'granted'");
  await replace('schemas/admin/views.sql', 'd.blocked, ', 'not d.blocked as blocked, ');
  await replace('schemas/ledger/policies.sql', 'public.current_user_id()', 'auth.uid()');
  await replace('schemas/events/policies.sql', 'create policy feature_rollups_read_own', '-- gone');
  await replace(
    'schemas/events/policies.sql',
    '-- gone on public.feature_rollups\n  for select to authenticated\n  using (user_id = (select public.current_user_id()));',
    '',
  );
  await folder.write(
    'schemas/ledger/functions/double.sql',
    `-- Why it is there.
create or replace function public.double(p_number integer)
returns integer
language sql immutable set search_path = ''
as $$ select private.twice(p_number) $$;
grant execute on function public.double(integer) to service_role;
comment on function public.double(integer) is 'Doubles a number.';
`,
  );
  // Called by a function that is created before it.
  const twice = `create or replace function private.twice(p_number integer)
returns integer
language sql immutable set search_path = ''
as $$ select 2 * p_number $$;
comment on function private.twice(integer) is 'Doubles a number.';
`;
  await folder.write('schemas/ledger/functions/twice.sql', twice);

  t.strictSame(await createMigration(work, 'next', NOW), { file: FILE, isSealed: true });
  const sql = await folder.read(`migrations/${FILE}`);
  for (const path of ['balance_json', 'double', 'twice']) {
    t.ok(sql.includes(await folder.read(`schemas/ledger/functions/${path}.sql`)), `${path} is there as it is`);
  }
  t.match(sql, /^create or replace view public\.device_overview with/m);
  t.notMatch(sql, /user_overview/, 'only what changed');
  t.match(sql, /^drop policy if exists balances_read_own on public\.balances;\ncreate policy balances_read_own/m);
  t.match(sql, /^drop policy if exists feature_rollups_read_own on public\.feature_rollups;\n/m);
  t.notMatch(sql, /create policy feature_rollups_read_own|TO COMPLETE/);
  t.equal((await readMigrations(folder.directory)).at(-1)?.version, '20990102030405');

  // And it is taken back: what is gone from schemas/ is dropped.
  const again = new Date(NOW.getTime() + 1_000);
  await folder.write('schemas/ledger/functions/double.sql', '');
  await folder.write('schemas/ledger/functions/twice.sql', twice.replaceAll('integer', 'bigint'));
  t.match(await createMigration(work, 'back', again), { isSealed: true });
  const back = await folder.read('migrations/20990102030406_back.sql');
  t.match(back, /^drop function if exists public\.double\(p_number integer\);\n/m);
  t.match(back, /^drop function if exists private\.twice\(p_number integer\);\n/m);
  await t.rejects(createMigration(work, 'back', NOW), {
    name: 'StartupError',
    message: /20990102030406_back\.sql is later than this machine's clock/,
  });
});

t.test('changes of tables are listed for the author, and nothing is finished before they are made', async (t) => {
  const folder = await openMigrationFolder(t);
  const work = { directory: folder.directory, adminUrl };
  const tables = await folder.read('schemas/devices/tables.sql');
  const column = "comment on column public.devices.color is 'Its color.';\n";
  const definition = "color text default 'red' check (length(color) < 20)";
  await folder.write(
    'schemas/devices/tables.sql',
    `${tables.replace('  constraint devices_', `  ${definition},\n  constraint devices_`)}${column}create index if not exists devices_color_idx on public.devices (color);\n`,
  );
  t.strictSame(await createMigration(work, 'next', NOW), { file: FILE, isSealed: false });
  const draft = await folder.read(`migrations/${FILE}`);
  t.match(draft, /TO COMPLETE/);
  t.match(draft, /^-- {3}\+ column public\.devices\.color .*text.*'red'.*Its color\.$/m);
  t.match(draft, /^-- {3}\+ constraint devices_color_check on public\.devices CHECK/m);
  t.match(draft, /^-- {3}\+ index devices_color_idx on public\.devices CREATE INDEX/m);

  await t.rejects(createMigration(work, 'another', NOW), {
    name: 'StartupError',
    message: /^Finish supabase\/migrations\/20990102030405_next\.sql first/,
  });
  await t.rejects(readMigrations(folder.directory), { message: /next\.sql is not in migrations\.sha256/ });
  await t.rejects(sealUnfinished(work), { message: 'migration 20990102030405_next failed' }, 'it cannot run yet');

  const half = `alter table public.devices add column ${definition};\n${column}`;
  await folder.write(`migrations/${FILE}`, half);
  await t.rejects(sealUnfinished(work), {
    name: 'StartupError',
    message:
      /differs from what 20990102030405_next\.sql makes:\n {2}\+ index devices_color_idx on public\.devices CREATE INDEX .*$/,
  });
  await folder.write(`migrations/${FILE}`, `${half}create index devices_color_idx on public.devices (color);\n`);
  t.strictSame(await sealUnfinished(work), { file: FILE, isSealed: true });
  t.equal((await readMigrations(folder.directory)).at(-1)?.name, 'next');
});

t.test('without migrations the first one is the whole schema', async (t) => {
  const folder = await openMigrationFolder(t);
  const work = { directory: folder.directory, adminUrl };
  for (const { version, name } of await readMigrations(folder.directory)) {
    await folder.remove(`migrations/${version}_${name}.sql`);
  }
  await folder.write('migrations.sha256', '');
  t.match(await createMigration(work, 'baseline', NOW), { isSealed: true });
  const [first] = await readMigrations(folder.directory);
  t.match(first?.sql, 'create table if not exists public.users');
  t.match(first?.sql, 'create or replace function public.verify_ledger');
});

t.test('a wrong command line is refused with a sentence, and nothing is written', async (t) => {
  const before = await readMigrations();
  const cases = [
    [[], 2, /^Give the migration a name, or say --seal\nUsage: npm run migration -- <name>/],
    [['two', 'names'], 2, /^Unexpected argument 'names'\nUsage: /],
    [['name', '--seal'], 2, /\nUsage: /],
    [['--sael'], 2, /^Unknown option '--sael'/],
    [
      ['Bad-Name'],
      1,
      /^A migration's name has lowercase letters and underscores only, at most 60, unlike "Bad-Name"\n$/,
    ],
    [['../escape'], 1, /^A migration's name has lowercase letters/],
    [['a'.repeat(61)], 1, /^A migration's name has lowercase letters/],
  ] as const;
  const results = await Promise.all(cases.map(([args]) => runScript(t, 'database/migration', args)));
  for (const [position, [args, expected, sentence]] of cases.entries()) {
    const { code, stdout, stderr = '' } = results[position] ?? {};
    t.strictSame({ code, stdout }, { code: expected, stdout: '' }, args.join(' '));
    t.match(stderr, sentence);
    t.notMatch(stderr, /^\s+at /m, 'there is no stack');
  }
  t.strictSame(await readMigrations(), before);
});

t.end();
