import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Answer, openTestDataApiOnCluster, post } from '../../helpers/db/data-api.js';
import { openPgBouncer } from '../../helpers/db/pgbouncer.js';
import { isMissing } from '../../helpers/local-program.js';
import t from '../../helpers/run/tap.js';

const data = await openTestDataApiOnCluster(
  t,
  `create table public.notes (note text not null);
   create function public.keep(p_note text) returns integer language sql volatile security definer set search_path = ''
     as $$ insert into public.notes values (p_note) returning length(note) $$;
   create function public.look() returns jsonb language sql stable security definer set search_path = ''
     as $$ select jsonb_build_object('read_only', current_setting('transaction_read_only'), 'notes', count(*)) from public.notes $$;
   create function public.sneak(p_note text) returns integer language sql stable security definer set search_path = ''
     as $$ select public.keep(p_note) $$;
   create function public.refuse(p_note text) returns void language plpgsql volatile security definer set search_path = ''
     as $$ begin
       perform public.keep(p_note);
       raise sqlstate 'PT409' using message = 'REFUSED';
     end $$;
   create function public.run_on() returns void language sql volatile security definer set search_path = ''
     as $$ select pg_sleep(600) $$;
   create function public.who() returns jsonb language sql volatile
     as $$ select jsonb_build_object('role', current_user, 'sub', current_setting('request.jwt.claims')::jsonb ->> 'sub',
                                     'time_out', current_setting('statement_timeout')) $$;
   create function public.closed() returns text language sql volatile security definer set search_path = '' as $$ select 'open' $$;
   revoke execute on function public.closed() from public, anon, authenticated, service_role;`,
);
await data.database.sql(`alter system set log_statement = 'all'`);
await data.database.sql('select pg_reload_conf()');
const server = { authorization: `Bearer ${await data.sign({ role: 'service_role' })}` };
const person = async (sub: string) => ({
  authorization: `Bearer ${await data.sign({ role: 'authenticated', sub })}`,
});

/** Returns the statements that were run on behalf of the API meanwhile. */
async function recordStatements(act: () => Promise<unknown>): Promise<string[]> {
  const path = join(data.database.cluster.directory, 'server.log');
  const before = (await readFile(path, 'utf8')).length;
  await act();
  const log = (await readFile(path, 'utf8')).slice(before);
  const statements = [...log.matchAll(/LOG: {2}(?:statement|execute [^:]+): (.*)/g)].map(([, text = '']) => text);
  // On a busy machine Postgres is asked for a sign of life, in a statement that begins with a line break.
  return statements.filter((text) => text !== '' && !text.startsWith('SET application_name'));
}

const poolers = [
  { through: 'a connection of its own', url: data.database.serverUrl, skip: false as const, isPooled: false },
  {
    through: 'PgBouncer',
    url: undefined,
    skip: isMissing('pgbouncer', '--version'),
    isPooled: true,
  },
];
for (const { through, url, skip, isPooled } of poolers) {
  t.test(`through ${through}`, { skip }, async (t) => {
    const connectionString = url ?? (await openPgBouncer(t, data.database.serverUrl));
    const api = data.open({ connectionString, poolSize: 4, connectionTimeoutMs: 60_000 });
    const call = (name: string, args: object = {}, headers = server): Promise<Answer> =>
      post(api.fetch, name, JSON.stringify(args), headers);
    await data.database.sql('truncate notes');
    t.match(await call('look'), { status: 200, body: { notes: 0 } });

    t.test('the server’s own call of a function with its owner’s rights is one statement', async (t) => {
      for (const [name, args, body] of [
        ['keep', { p_note: 'four' }, 4],
        ['look', {}, { read_only: 'on', notes: 1 }],
      ] as const) {
        const statements = await recordStatements(async () => t.strictSame((await call(name, args)).body, body));
        t.equal(statements.length, 1, statements.join('\n'));
      }
    });

    t.test('what it writes is committed, or not at all', async (t) => {
      t.match(await call('refuse', { p_note: 'no' }), { status: 409, body: { code: 'PT409', message: 'REFUSED' } });
      t.match(await call('keep', { p_note: null }), { status: 400, body: { code: '23502' } });
      t.match(await call('look'), { body: { notes: 1 } });
    });

    t.test('a function that says it only reads cannot write', async (t) => {
      t.match(await call('sneak', { p_note: 'hidden' }), { status: 405, body: { code: '25006' } });
      t.match(await call('keep', { p_note: 'and the next one can' }), { status: 200 });
    });

    t.test('a function nobody was granted is closed, whatever the connection may', async (t) => {
      t.match(await call('closed'), { status: 403, body: { code: '42501' } });
    });

    t.test('calls in a person’s name have their claims and rights, and leave none of them behind', async (t) => {
      const subs = Array.from({ length: 40 }, (_, n) => `person ${n}`);
      const answers = await Promise.all(
        subs.flatMap(async (sub) => [await call('who', {}, await person(sub)), await call('who')]),
      );
      for (const [n, [own, after]] of answers.entries()) {
        t.match(own?.body, { role: 'authenticated', sub: subs[n], time_out: '10s' });
        t.match(after?.body, { role: 'service_role', sub: null, time_out: '10s' });
      }
      const statements = await recordStatements(async () => call('who', {}, await person('last')));
      t.equal(statements.length, isPooled ? 4 : 2, statements.join('\n'));
    });

    t.test('a statement that takes too long is cancelled by Postgres', async (t) => {
      const hurried = data.open({ connectionString, statementTimeoutMs: 500 });
      const end = await post(hurried.fetch, 'who', '{}', await person('in a hurry'));
      t.match(end.body, { time_out: '500ms' });
      if (isPooled) return;
      t.match(await post(hurried.fetch, 'run_on', '{}', server), { status: 500, body: { code: '57014' } });
    });
  });
}

t.test('a session that lost its kept statements is told them again, and nothing runs twice', async (t) => {
  const api = data.open({ poolSize: 1 });
  const keep = (p_note: string) => post(api.fetch, 'keep', JSON.stringify({ p_note }), server);
  await data.database.sql('truncate notes');
  t.equal((await keep('one')).body, 3);
  await data.database.sql(
    `create or replace function public.forget() returns text language plpgsql volatile security definer set search_path = ''
       as $$ begin deallocate all; return 'forgotten'; end $$;
     grant execute on function public.forget() to service_role`,
  );
  t.equal((await post(api.fetch, 'forget', '{}', server)).body, 'forgotten');
  t.equal((await keep('three')).body, 5);
  t.strictSame(await data.database.sql('select note from notes order by note'), [{ note: 'one' }, { note: 'three' }]);
});

t.end();
