import { openTestDataApi, post } from '../../helpers/db/data-api.js';
import t from '../../helpers/run/tap.js';

/** PostgREST's documentation, "Functions as RPC". */
const data = await openTestDataApi(
  t,
  `create type public.point_type as (x integer, label text);
   create table public.films (id integer, title text);
   insert into public.films values (1, 'Okja'), (2, 'Blade Runner');
   grant select on public.films to anon, service_role;
   create function add_them(a integer, b integer default 10, c integer default 100) returns integer
     language sql immutable as $$ select a + b + c $$;
   create function nothing(p_value text default null) returns void language sql as $$ select null $$;
   create function echo_json(p jsonb) returns jsonb language sql immutable as $$ select p $$;
   create function echo_each(p jsonb) returns setof text
     language sql volatile as $$ select i ->> 'a' from jsonb_array_elements(p) i $$;
   create function echo_text(p text) returns text language sql immutable as $$ select p $$;
   create function echo_bigint(p bigint) returns bigint language sql immutable as $$ select p $$;
   create function plus_one(arr integer[]) returns integer[]
     language sql immutable as $$ select array_agg(n + 1) from unnest(arr) as n $$;
   create function plus_one_each(variadic v integer[]) returns integer[]
     language sql immutable as $$ select array_agg(n + 1) from unnest(v) as n $$;
   create function a_point(x integer) returns public.point_type
     language sql immutable as $$ select x, 'here' $$;
   create function no_point() returns public.point_type language sql immutable as $$ select null::public.point_type $$;
   create function films() returns setof public.films language sql stable as $$ select * from public.films $$;
   create function films_titled(p_title text) returns table (title text)
     language sql stable as $$ select title from public.films where title = p_title $$;
   create function ids() returns setof integer language sql stable as $$ select id from public.films order by 1 $$;
   create function no_ids() returns setof integer language sql stable as $$ select id from public.films where false $$;
   create function some_nulls() returns setof text language sql immutable as $$ values ('a'), (null) $$;
   create function halves(out half integer, in whole integer, out rest integer)
     language sql immutable as $$ select whole / 2, whole % 2 $$;
   create function doubled(out result integer, in p integer) language sql immutable as $$ select p * 2 $$;
   create function untyped() returns setof record language sql stable as $$ select id, title from public.films $$;
   create function unnamed(integer) returns integer language sql immutable as $$ select $1 $$;
   create function on_change() returns trigger language plpgsql as $$ begin return new; end $$;
   create function overloaded(a integer) returns text language sql immutable as $$ select 'one' $$;
   create function overloaded(a integer, b integer) returns text language sql immutable as $$ select 'two' $$;
   create function ambiguous(a integer) returns text language sql immutable as $$ select 'integer' $$;
   create function ambiguous(a text) returns text language sql immutable as $$ select 'text' $$;`,
);

t.test('arguments are passed by name, in any order, and defaults fill in those left out', async (t) => {
  t.strictSame((await data.call('add_them', { b: 2, a: 1, c: 3 })).body, 6);
  t.strictSame((await data.call('add_them', { c: 3, a: 1 })).body, 14);
  t.strictSame((await data.call('add_them', { a: 1 })).body, 111);
});

t.test('null is an argument like any other and not a default', async (t) => {
  t.strictSame((await data.call('add_them', { a: 1, b: null })).body, null);
});

t.test('an empty body calls a function without arguments', async (t) => {
  const headers = { authorization: `Bearer ${await data.sign({ role: 'anon' })}` };
  for (const body of ['', '{}', undefined, null]) {
    t.equal((await post(data.fetch, 'no_ids', body, headers)).text, '[]');
  }
});

t.test('a scalar is answered bare, as JSON with status 200', async (t) => {
  const answer = await data.call('echo_text', { p: 'a "quoted"\nlíne 🎬' });
  t.equal(answer.status, 200);
  t.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8');
  t.equal(answer.text, JSON.stringify('a "quoted"\nlíne 🎬'));
  t.equal((await data.call('echo_text', { p: null })).text, 'null');
});

t.test('a JSON argument arrives and returns unchanged, an array of objects included', async (t) => {
  for (const p of [
    [{ a: 1 }, { b: [null, true, 'é漢字🎬'] }],
    { n: { e: { s: { t: 'ed' } } } },
    'text',
    0,
    false,
    [],
  ]) {
    t.strictSame((await data.call('echo_json', { p })).body, p);
  }
});

t.test('a list that is the only argument arrives unchanged, however the body is written', async (t) => {
  const headers = { authorization: `Bearer ${await data.sign({ role: 'anon' })}` };
  const list = '[{"a": "}]"}, null, 12345678901234567890.10]';
  for (const body of [`{"p":${list}}`, `{ "p" : ${list} }`, `{"p":${list} }`, `\n{"p":${list}}`]) {
    t.equal((await post(data.fetch, 'echo_json', body, headers)).text, list, body);
    t.strictSame((await post(data.fetch, 'echo_each', body, headers)).body, ['}]', null, null], body);
  }
  t.equal((await data.call('echo_json', { p: null })).text, 'null');
});

t.test('a bigint keeps all its digits both ways', async (t) => {
  const headers = { authorization: `Bearer ${await data.sign({ role: 'anon' })}` };
  for (const digits of ['9223372036854775807', '-9223372036854775808', '9007199254740993']) {
    t.equal((await post(data.fetch, 'echo_bigint', `{"p":${digits}}`, headers)).text, digits);
    t.equal((await post(data.fetch, 'echo_bigint', `{"p":"${digits}"}`, headers)).text, digits);
  }
});

t.test('array parameters and variadic functions take a JSON array', async (t) => {
  t.strictSame((await data.call('plus_one', { arr: [1, 2, 3, 4] })).body, [2, 3, 4, 5]);
  t.strictSame((await data.call('plus_one_each', { v: [1, 2, 3, 4] })).body, [2, 3, 4, 5]);
});

t.test('a function that returns nothing answers 204 without a body', async (t) => {
  const answer = await data.call('nothing', { p_value: 'x' });
  t.equal(answer.status, 204);
  t.equal(answer.text, '');
});

t.test('a composite is one object, output parameters are its fields, and a null one has null fields', async (t) => {
  t.strictSame((await data.call('a_point', { x: 3 })).body, { x: 3, label: 'here' });
  t.strictSame((await data.call('no_point')).body, { x: null, label: null });
  t.strictSame((await data.call('halves', { whole: 7 })).body, { half: 3, rest: 1 });
  t.strictSame((await data.call('doubled', { p: 4 })).body, { result: 8 });
});

t.test('a set of rows is a list of objects, also with one column, and empty without rows', async (t) => {
  const films = [
    { id: 1, title: 'Okja' },
    { id: 2, title: 'Blade Runner' },
  ];
  t.strictSame((await data.call('films')).body, films);
  t.strictSame((await data.call('films_titled', { p_title: 'Okja' })).body, [{ title: 'Okja' }]);
  t.equal((await data.call('films_titled', { p_title: 'Tenet' })).text, '[]');
  t.strictSame((await data.call('untyped')).body, films, 'untyped functions');
});

t.test('a set of plain values is a list of them, nulls included, and empty without values', async (t) => {
  t.strictSame((await data.call('ids')).body, [1, 2]);
  t.strictSame((await data.call('some_nulls')).body, ['a', null]);
  t.equal((await data.call('no_ids')).text, '[]');
});

t.test('an overloaded function is chosen by the names of its arguments', async (t) => {
  t.equal((await data.call('overloaded', { a: 1 })).body, 'one');
  t.equal((await data.call('overloaded', { a: 1, b: 2 })).body, 'two');
});

t.test('overloads that differ in types only are ambiguous: 300 PGRST203', async (t) => {
  const { status, body } = await data.call('ambiguous', { a: 1 });
  t.equal(status, 300);
  t.match(body, { code: 'PGRST203' });
  t.match(body, { message: /public\.ambiguous\(a => integer\)/ });
  t.match(body, { message: /public\.ambiguous\(a => text\)/ });
});

t.test('an unknown function or argument, or a missing one, is 404 PGRST202', async (t) => {
  const wrong: [name: string, args: object][] = [
    ['no_such_function', {}],
    ['add_them', {}],
    ['add_them', { b: 1 }],
    ['add_them', { a: 1, d: 1 }],
    ['overloaded', { b: 2 }],
    ['no_ids', { a: 1 }],
    ['unnamed', {}],
    ['on_change', {}],
    ['pg_sleep', { double: 0 }],
  ];
  for (const [name, args] of wrong) {
    const { status, body } = await data.call(name, args);
    t.equal(status, 404, `${name} ${JSON.stringify(args)}`);
    t.match(body, { code: 'PGRST202', details: null, hint: null });
  }
  t.match((await data.call('add_them', { a: 1, d: 1 })).body, {
    message: 'Could not find the function public.add_them(a, d) in the schema cache',
  });
  t.match((await data.call('add_them')).body, {
    message: 'Could not find the function public.add_them without parameters in the schema cache',
  });
});

t.test('a function made after the first call is found without a restart', async (t) => {
  t.equal((await data.call('made_later')).status, 404);
  await data.database.sql(`create function made_later() returns integer language sql immutable as 'select 7'`);
  t.equal((await data.call('made_later')).body, 7);
});

t.end();
