import { openTestDataApi, post, readAnswer, rpcUrl } from '../../helpers/db/data-api.js';
import t from '../../helpers/run/tap.js';

/** PostgREST's documentation, "Errors". */
const data = await openTestDataApi(
  t,
  `create function fail_with(p_code text) returns void language plpgsql
     as $$ begin raise exception using errcode = p_code, message = 'refused', detail = 'why', hint = 'what to do'; end $$;
   create function fail() returns void language plpgsql as $$ begin raise exception 'I refuse'; end $$;
   create function as_integer(p integer) returns integer language sql immutable as $$ select p $$;
   create function as_text(p text) returns text language sql immutable as $$ select p $$;`,
);
const headers = { authorization: `Bearer ${await data.sign({ role: 'service_role' })}` };

/** The table "HTTP Status Codes", every row by one of its codes or more. */
const STATUSES: Readonly<Record<string, number>> = {
  ...{ '08000': 503, '08006': 503, '08P01': 503, '09000': 500 },
  ...{ '0L000': 403, '0LP01': 403, '0P000': 403 },
  ...{ '23503': 409, '23505': 409, '23502': 400, '23514': 400, '23P01': 400 },
  ...{ '25006': 405, '25000': 500, '25P02': 500 },
  ...{ '28000': 403, '28P01': 403, '2D000': 500, '38000': 500, '39000': 500, '3B001': 500 },
  ...{ '40001': 500, '40P01': 500 },
  ...{ '53400': 500, '53000': 503, '53300': 503 },
  ...{ '54000': 500, '54001': 500, '55000': 500, '55P03': 500, '57014': 500, '57P01': 500, '58030': 500 },
  ...{ F0000: 500, HV000: 500, P0001: 400, P0002: 500, P0004: 500, XX000: 500, XX001: 500 },
  ...{ '42883': 404, '42P01': 404, '42P17': 500, '42501': 403 },
  ...{ '0A000': 400, '22P02': 400, '22003': 400, '42703': 400, '42601': 400, '44000': 400, '72000': 400 },
};

t.test('each SQLSTATE becomes the HTTP status of PostgREST’s table', async (t) => {
  for (const [code, expected] of Object.entries(STATUSES)) {
    const { status, body } = await data.call('fail_with', { p_code: code });
    t.equal(status, expected, code);
    t.match(body, { code });
  }
});

t.test('an error’s body is exactly code, message, details and hint', async (t) => {
  const full = await data.call('fail_with', { p_code: '23505' });
  t.strictSame(full.body, { code: '23505', message: 'refused', details: 'why', hint: 'what to do' });
  t.equal(full.headers.get('content-type'), 'application/json; charset=utf-8');

  const bare = await data.call('fail');
  t.equal(bare.status, 400);
  t.strictSame(bare.body, { code: 'P0001', message: 'I refuse', details: null, hint: null });
});

t.test('PTxyz is answered with the status xyz', async (t) => {
  for (const status of [200, 300, 400, 402, 403, 404, 409, 418, 422, 429, 500, 503, 599]) {
    const answer = await data.call('fail_with', { p_code: `PT${status}` });
    t.equal(answer.status, status);
    t.match(answer.body, { code: `PT${status}`, details: 'why' });
  }
});

t.test('PTxyz with a status HTTP has no body for is answered without one', async (t) => {
  for (const status of [204, 205, 304]) {
    const answer = await data.call('fail_with', { p_code: `PT${status}` });
    t.equal(answer.status, status);
    t.equal(answer.text, '');
  }
});

t.test('a PT code that is no status, and PostgREST’s own code, are a 500', async (t) => {
  for (const code of ['PTABC', 'PT000', 'PT100', 'PT600', 'PGRST']) {
    t.equal((await data.call('fail_with', { p_code: code })).status, 500, code);
  }
});

t.test('a missing privilege is 401 with a challenge for anon, 403 for everybody else', async (t) => {
  const anonymous = await data.call('fail_with', { p_code: '42501' }, null);
  t.equal(anonymous.status, 401);
  t.equal(anonymous.headers.get('www-authenticate'), 'Bearer');
  const user = await data.call('fail_with', { p_code: '42501' }, await data.sign({ role: 'authenticated' }));
  t.equal(user.status, 403);
  t.equal(user.headers.get('www-authenticate'), null);
});

t.test('an argument that is not of its declared type is a 400 with Postgres’ own code', async (t) => {
  t.match(await data.call('as_integer', { p: 'x' }), { status: 400, body: { code: '22P02' } });
  t.match(await data.call('as_integer', { p: 1.5 }), { status: 400, body: { code: '22P02' } });
  t.match(await data.call('as_integer', { p: 2 ** 31 }), { status: 400, body: { code: '22003' } });
  t.match(await data.call('as_text', { p: 'a\u0000b' }), { status: 400, body: { code: '22P05' } });
  t.match(await data.call('as_text', { p: 'a\ud800' }), { status: 400, body: { code: '22P02' } });
});

t.test('a body that is no JSON object is 400 PGRST102', async (t) => {
  for (const body of [
    '{',
    'p=1',
    "{'p':1}",
    '{"p":NaN}',
    '[]',
    '[{"p":1}]',
    '1',
    'null',
    '"p"',
    Buffer.from('{"p":1}'),
  ]) {
    t.match(await post(data.fetch, 'as_integer', body, headers), { status: 400, body: { code: 'PGRST102' } });
  }
  t.equal((await post(data.fetch, 'as_integer', ' {"p":1} ', headers)).body, 1, 'white space around is fine');
});

t.test('another path than a function’s is 404 PGRST125', async (t) => {
  const paths = ['/', '/rest/v1', '/rest/v1/', '/rest/v1/devices', '/rest/v1/rpc', '/rest/v1/rpc/', '/rpc/as_integer'];
  const names = ['a.b', 'public.as_integer', 'a/b', 'as_integer/', 'A', '1', 'a%20b', 'a"b', 'a;b', '..%2fas_integer'];
  for (const path of [...paths, ...names.map((name) => `/rest/v1/rpc/${name}`)]) {
    const response = await data.fetch(`http://direct.invalid${path}`, { method: 'POST', headers, body: '{"p":1}' });
    t.match(await readAnswer(response), { status: 404, body: { code: 'PGRST125' } }, path);
  }
});

t.test('another method than POST is 405 PGRST101, a query string 400 PGRST100', async (t) => {
  for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', undefined]) {
    const response = await data.fetch(rpcUrl('as_integer'), { ...(method !== undefined && { method }), headers });
    t.match(await readAnswer(response), { status: 405, body: { code: 'PGRST101' } }, method ?? 'none');
  }
  for (const query of ['?p=1', '?select=p', '?limit=1']) {
    const response = await data.fetch(rpcUrl('as_integer') + query, { method: 'POST', headers, body: '{"p":1}' });
    t.match(await readAnswer(response), { status: 400, body: { code: 'PGRST100' } }, query);
  }
});

t.test('headers that ask for another schema, answer or body than served are refused', async (t) => {
  const refused: [name: string, value: string, status: number, code: string][] = [
    ['content-profile', 'private', 406, 'PGRST106'],
    ['content-profile', 'contracts', 406, 'PGRST106'],
    ['accept', 'application/vnd.pgrst.object+json', 406, 'PGRST107'],
    ['accept', 'text/csv', 406, 'PGRST107'],
    ['content-type', 'text/plain', 400, 'PGRST102'],
    ['content-type', 'application/x-www-form-urlencoded', 400, 'PGRST102'],
  ];
  for (const [name, value, status, code] of refused) {
    const answer = await post(data.fetch, 'as_integer', '{"p":1}', { ...headers, [name]: value });
    t.match(answer, { status, body: { code } }, `${name}: ${value}`);
  }
  const usual = { 'content-profile': 'public', 'content-type': 'application/json; charset=utf-8' };
  for (const accept of ['application/json', '*/*', 'text/html, application/json;q=0.9']) {
    t.equal((await post(data.fetch, 'as_integer', '{"p":1}', { ...headers, ...usual, accept })).body, 1, accept);
  }
});

t.end();
