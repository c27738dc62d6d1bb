import { createApiKey, registerUser, sendWith, type TestUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { PREFIXES } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { hold, recordUses } from '../../helpers/usage.js';

const server = await openTestServer(t);
const { database } = server;
const admin = await logInAsAdmin(server, 'margaret');

interface Item {
  readonly id: string;
  readonly kind: string;
  readonly amount: number;
  readonly provenance: string;
  readonly created_at: string;
}
interface Page {
  readonly entries: Item[];
  readonly next_cursor: string | null;
}

const allocate = (body: object) => admin.as('POST', '/api/admin/allocate', body);

/** Creates a person with items of every kind, most of them at the same few points in time. */
async function busyUser(): Promise<TestUser> {
  const [user, other] = [await registerUser(server), await registerUser(server)];
  await allocate({ user_id: user.id, tokens: 500 });
  await allocate({ user_id: user.id, tokens: -200 });
  await allocate({ user_id: user.id, from_user_id: other.id, tokens: 50 });
  const at = '2026-10-05T10:00:00.123456Z';
  const debits = { subject: user.id, user: user.id, source: 'chat', cost: 7, model: 'gpt-5' } as const;
  await recordUses(database, { ...debits, count: 21, together: 7, at });
  for (let n = 0; n < 9; n += 1) await hold(database, user.id, 10 + n, at);
  await database.sql(
    `with expired as (
       update reservations set status = 'expired', closed_at = now() where subject_id = $1 and amount > 14 returning amount
     )
     update balances set reserved = reserved - (select sum(amount) from expired) where subject_id = $1`,
    [user.id],
  );
  await database.sql(
    `insert into ledger_entries (subject_id, kind, amount, period, actor, reference, created_at)
     select $1, kind, amount, 1, 'admin:margaret', 'batch ' || amount, $2
       from (values
         ('grant', 5), ('grant', 5), ('adjustment', -5), ('subscription', 1), ('subscription', -1), ('reset', -5)
       ) v(kind, amount)`,
    [user.id, at],
  );
  return user;
}

const user = await busyUser();

async function readPage(token: string, query: string): Promise<Page> {
  const response = await sendWith(server, token, 'GET', `/api/users/me/ledger${query}`);
  return response.json<Page>();
}

/** Reads every item, page by page. */
async function walk(token: string, limit: number): Promise<Item[]> {
  const items: Item[] = [];
  let cursor = '';
  do {
    const page = await readPage(token, `?limit=${limit}${cursor}`);
    items.push(...page.entries);
    if (items.length > 1_000) throw new Error('the pages come to no end');
    cursor = page.next_cursor === null ? '' : `&cursor=${page.next_cursor}`;
  } while (cursor !== '');
  return items;
}

t.test('the balance is what is granted, spent, held and left', async (t) => {
  for (const prefix of PREFIXES) {
    const response = await user.as('GET', `${prefix}/users/me/balance`);
    t.equal(response.statusCode, 200);
    t.strictSame(response.json(), { allocated: 1_000_350, used: 147, reserved: 60, remaining: 1_000_143, debt: 0 });
  }
});

t.test('the ledger has every grant, correction, debit and hold, and adds up to the balance', async (t) => {
  const { entries, next_cursor } = await readPage(user.token, '?limit=200');
  t.equal(next_cursor, null);
  const sums = new Map<string, [count: number, tokens: number]>();
  for (const { kind, amount } of entries) {
    const [count, tokens] = sums.get(kind) ?? [0, 0];
    sums.set(kind, [count + 1, tokens + amount]);
  }
  t.strictSame(Object.fromEntries(sums), {
    grant: [4, 1_000_510],
    transfer: [1, 50],
    adjustment: [2, -205],
    subscription: [2, 0],
    reset: [1, -5],
    debit: [21, -147],
    hold: [9, 126],
  });
  const changes = ['grant', 'transfer', 'adjustment', 'subscription', 'reset'];
  const allocated = changes.reduce((sum, kind) => sum + (sums.get(kind)?.[1] ?? 0), 0);
  t.equal(allocated, 1_000_350, 'changes make the allocation');
  await server.verifyLedger(t);
});

t.test('each item says where it comes from, and no admin is named', async (t) => {
  const response = await user.as('GET', '/api/users/me/ledger?limit=200');
  t.notMatch(response.payload, 'margaret');
  const { entries } = response.json<Page>();
  const one = (kind: string) => entries.find((entry) => entry.kind === kind);
  const id = /^[0-9a-f-]{36}$/;
  t.strictSame(Object.keys(one('debit') ?? {}).sort(), [
    'amount',
    'created_at',
    'id',
    'kind',
    'model',
    'provenance',
    'provider',
    'source',
  ]);
  t.match(one('debit'), {
    id,
    amount: -7,
    provenance: 'client_reported',
    model: 'gpt-5',
    provider: 'unknown',
    source: 'chat',
  });
  t.match(one('hold'), {
    id,
    provenance: 'estimated',
    model: 'gpt-5',
    status: /^(held|expired)$/,
    expires_at: /^\d{4}-/,
  });
  t.match(one('transfer'), { amount: 50, provenance: 'admin', reference: /\S/ });
  t.match(one('adjustment'), { provenance: 'admin' });
  t.match(entries.at(0)?.created_at, /\+00:00$/);
  const granted = entries.filter(({ kind, amount }) => kind === 'grant' && amount === 1_000_000);
  t.match(granted, [{ provenance: 'system' }], 'what an account starts with');
});

t.test('walking in pages of any size gives the same as one big page, though many share a time', async (t) => {
  const { entries } = await readPage(user.token, '?limit=200');
  t.equal(new Set(entries.map(({ created_at }) => created_at)).size < entries.length / 3, true, 'many do');
  t.strictSame(
    entries.map(({ created_at }) => created_at),
    entries
      .map(({ created_at }) => created_at)
      .sort()
      .reverse(),
    'newest first',
  );
  for (let limit = 1; limit <= 7; limit += 1) {
    t.strictSame(await walk(user.token, limit), entries, `limit ${limit}`);
  }
});

t.test('an item of one kind with the id and time of one of another is neither lost nor repeated', async (t) => {
  const ada = await registerUser(server);
  const at = '2026-10-06T00:00:00Z';
  await recordUses(database, { subject: ada.id, user: ada.id, source: 'chat', cost: 1, count: 1, at });
  await database.sql(
    `with twin as (select id, subject_id, occurred_at from usage_events where subject_id = $1),
     hold as (
       insert into reservations (id, subject_id, amount, status, model, prompt_count, expires_at, created_at)
       select id, subject_id, 1, 'expired', 'gpt-5', 1, occurred_at, occurred_at from twin
     )
     insert into ledger_entries (id, subject_id, kind, amount, period, actor, created_at)
     select id, subject_id, 'grant', 1, 1, 'test', occurred_at from twin`,
    [ada.id],
  );
  await database.sql('update balances set allocated = allocated + 1 where subject_id = $1', [ada.id]);
  await database.sql(`update budgets set allocated = allocated + 1 where subject_kind = 'user'`);
  t.strictSame(
    (await walk(ada.token, 1)).map(({ kind }) => kind),
    ['grant', 'hold', 'grant', 'debit'],
  );
  await server.verifyLedger(t);
});

t.test('what costs nothing and what devices debit is not among the debits', async (t) => {
  const ada = await registerUser(server);
  const device = await server.registerDevice();
  await database.sql('update devices set user_id = $2 where id = $1', [device.id, ada.id]);
  await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
  await server.as(device, 'POST', '/api/devices/check-can-use', { model_type: 'gpt-5', reserve: true });
  await recordUses(database, { subject: ada.id, user: ada.id, count: 3 });
  t.match((await readPage(ada.token, '')).entries, [{ kind: 'grant' }]);
  t.strictSame((await ada.as('GET', '/api/users/me/balance')).json(), {
    allocated: 1_000_000,
    used: 0,
    reserved: 0,
    remaining: 1_000_000,
    debt: 0,
  });
  await server.verifyLedger(t);
});

t.test(
  'everybody sees their own only, with a token as with a key, and nothing once the session has ended',
  async (t) => {
    const bob = await registerUser(server);
    const key = await createApiKey(bob);
    const mine = new Set((await readPage(user.token, '?limit=200')).entries.map(({ id }) => id));
    for (const token of [bob.token, key]) {
      const { entries } = await readPage(token, '?limit=200');
      t.match(entries, [{ kind: 'grant', amount: 1_000_000 }]);
      t.notOk(entries.some(({ id }) => mine.has(id)));
    }
    await bob.as('POST', '/api/auth/logout');
    for (const path of ['balance', 'ledger']) {
      const response = await bob.as('GET', `/api/users/me/${path}`);
      t.equal(response.statusCode, 401);
      t.match(response.json(), { code: 'INVALID_TOKEN' });
      t.equal((await sendWith(server, key, 'GET', `/api/users/me/${path}`)).statusCode, 200, 'the key goes on');
    }
  },
);

t.test('a cursor that was not given out is refused', async (t) => {
  const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const place = { at: '2026-10-05T10:00:00Z', kind: 'debit', id: user.id };
  const wrong = [
    'x',
    '%00',
    encoded(null),
    encoded([]),
    encoded({ ...place, at: 'yesterday at noon' }),
    encoded({ ...place, at: "' or true --" }),
    encoded({ ...place, kind: 1 }),
    encoded({ ...place, id: 'x' }),
    encoded({ at: place.at, id: place.id }),
  ];
  for (const cursor of wrong) {
    const response = await user.as('GET', `/api/users/me/ledger?cursor=${cursor}`);
    t.equal(response.statusCode, 400, cursor);
    t.match(response.json(), { code: 'VALIDATION_FAILED' });
  }
  for (const query of ['limit=0', 'limit=201', 'limit=x', 'other=1']) {
    t.equal((await user.as('GET', `/api/users/me/ledger?${query}`)).statusCode, 400, query);
  }
});

t.end();
