import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openTestDataApiOnCluster, post } from '../../helpers/db/data-api.js';
import t from '../../helpers/run/tap.js';

/** PostgREST's documentation, "Transactions". */
const data = await openTestDataApiOnCluster(
  t,
  `create table public.notes (id integer primary key, note text not null check (note <> 'refused'));
   create table public.checked (id integer references public.notes (id) deferrable initially deferred);
   grant all on public.notes, public.checked to service_role;
   create sequence public.counter;
   grant usage on sequence public.counter to service_role;
   create function add_note(p_id integer, p_note text) returns integer
     language sql volatile as $$ insert into public.notes values (p_id, p_note) returning id $$;
   create function add_two(p_id integer, p_note text) returns void language plpgsql as $$
     begin
       insert into public.notes values (p_id, 'first');
       insert into public.notes values (p_id + 1, p_note);
     end $$;
   create function add_unchecked(p_id integer) returns void
     language sql as $$ insert into public.checked values (p_id) $$;
   create function stable_write() returns integer stable language sql
     as $$ select public.add_note(1, 'by another function') $$;
   create function immutable_count() returns bigint immutable language plpgsql
     as $$ begin return nextval('public.counter'); end $$;
   create function mode_volatile() returns text volatile language sql
     as $$ select current_setting('transaction_read_only') $$;
   create function mode_stable() returns text stable language sql
     as $$ select current_setting('transaction_read_only') $$;
   create function mode_immutable() returns text immutable language sql
     as $$ select current_setting('transaction_read_only') $$;
   create function isolation() returns text stable language sql
     as $$ select current_setting('transaction_isolation') $$;
   create function run_on() returns void language sql as $$ select pg_sleep(600) $$;
   create function patient() returns text language sql set statement_timeout = '1min'
     as $$ select current_setting('transaction_read_only') from pg_sleep(1) $$;
   create function refuse(p text) returns void language plpgsql
     as $$ begin raise exception using message = 'refused'; end $$;
   create function as_integer(p text) returns integer language sql stable as $$ select p::integer $$;
   create function broken(p text) returns integer language plpgsql as $$ begin return 1 / length(ltrim(p, p)); end $$;`,
  { poolSize: 1 },
);
const notes = async () =>
  (await data.database.sql<{ id: number }>('select id from notes order by id')).map(({ id }) => id);

t.beforeEach(async () => {
  await data.database.sql('truncate notes, checked');
});

t.test('volatile functions run read-write, stable and immutable ones read-only', async (t) => {
  t.equal((await data.call('mode_volatile')).body, 'off');
  t.equal((await data.call('mode_stable')).body, 'on');
  t.equal((await data.call('mode_immutable')).body, 'on');
  t.equal((await data.call('mode_volatile')).body, 'off', 'and a read-only call leaves nothing behind');
});

t.test('a stable or immutable function that writes is 405 with 25006 and writes nothing', async (t) => {
  for (const name of ['stable_write', 'immutable_count']) {
    t.match(await data.call(name), { status: 405, body: { code: '25006' } }, name);
  }
  t.strictSame(await notes(), []);
});

t.test('a call that succeeds is committed before it is answered', async (t) => {
  t.equal((await data.call('add_note', { p_id: 1, p_note: 'kept' })).body, 1);
  t.strictSame(await notes(), [1]);
});

t.test('a call that fails leaves nothing of what it did', async (t) => {
  t.match(await data.call('add_two', { p_id: 1, p_note: 'refused' }), { status: 400, body: { code: '23514' } });
  t.strictSame(await notes(), []);
  t.equal((await data.call('add_two', { p_id: 1, p_note: 'fine' })).status, 204);
  t.match(await data.call('add_two', { p_id: 0, p_note: 'x' }), { status: 409, body: { code: '23505' } });
  t.strictSame(await notes(), [1, 2]);
});

t.test('a constraint that fails at the commit is an error like any other', async (t) => {
  t.match(await data.call('add_unchecked', { p_id: 7 }), { status: 409, body: { code: '23503' } });
  t.equal((await data.call('mode_volatile')).body, 'off', 'the connection is usable');
});

t.test('a transaction is read committed', async (t) => {
  t.equal((await data.call('isolation')).body, 'read committed');
});

t.test('a call beyond the statement time-out is cancelled: 500 with 57014', async (t) => {
  const hurried = data.open({ statementTimeoutMs: 500 });
  const headers = { authorization: `Bearer ${await data.sign({ role: 'service_role' })}` };
  t.match(await post(hurried.fetch, 'run_on', '{}', headers), { status: 500, body: { code: '57014' } });
  t.equal((await post(hurried.fetch, 'mode_volatile', '{}', headers)).body, 'off', 'the connection is usable');
});

t.test('a function that sets a statement time-out of its own is given that long', async (t) => {
  const hurried = data.open({ statementTimeoutMs: 500 });
  const headers = { authorization: `Bearer ${await data.sign({ role: 'service_role' })}` };
  t.match(await post(hurried.fetch, 'patient', '{}', headers), { status: 200, body: 'off' });
});

t.test('what callers send never reaches Postgres’ log, whatever goes wrong', async (t) => {
  const secret = 'kept-between-us';
  const failures = [
    await data.call('refuse', { p: secret }),
    await data.call('broken', { p: secret }),
    await data.call('as_integer', { p: secret }),
    await data.call('add_note', { p_id: secret, p_note: 'x' }),
    await data.call('add_two', { p_id: 1, p_note: `${secret}\u0000` }),
    await data.call('add_note', { p_id: 1, p_note: null, [secret]: 1 }),
    await data.call('refuse', { p: 1 }, await data.sign({ role: 'service_role', sub: secret })),
  ];
  await data.database.sql(`alter table notes add check (note not like 'kept%')`);
  failures.push(await data.call('add_note', { p_id: 1, p_note: secret }));
  t.strictSame(
    failures.map(({ status }) => status),
    [400, 400, 400, 400, 400, 404, 400, 400],
  );

  const log = await readFile(join(data.database.cluster.directory, 'server.log'), 'utf8');
  t.match(log, /ready to accept connections/, 'this is the log');
  t.notMatch(log, secret);
});

t.end();
