import { randomUUID } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { Asked, Reply } from '../client.js';
import type { Random } from '../random.js';
import type { Stage } from '../stage.js';
import type { Actor } from './actor.js';

const SessionSchema = Type.Object({ token: Type.String(), refresh_token: Type.String() });
const AccountSchema = Type.Intersect([SessionSchema, Type.Object({ user: Type.Object({ id: Type.String() }) })]);
const TrackerSchema = Type.Object({ sessionToken: Type.String() });
const RecordedSchema = Type.Object({ id: Type.String() });

/** A person with one session, whose client does one thing after the other; chat may run beside it. */
interface Person {
  readonly id: string;
  token: string;
  refreshToken: string;
  readonly tracker: string;
  readonly settings: Map<string, number>;
  readonly recorded: Set<string>;
  tracked: number;
  refreshed: number;
  chats: number;
  unknownChats: number;
  /** The end of what its client does. */
  busy: Promise<void>;
}

async function register({ client }: Stage): Promise<Person> {
  const [email, password] = [`${randomUUID()}@example.com`, randomUUID()];
  const account = await client.untilAnswered({ method: 'POST', path: '/auth/register', body: { email, password } });
  const { token, refresh_token: refreshToken, user } = Value.Decode(AccountSchema, account.json);
  const signedUp = await client.untilAnswered({ method: 'POST', path: '/signup', body: { email } });
  const { sessionToken: tracker } = Value.Decode(TrackerSchema, signedUp.json);
  return {
    ...{ id: user.id, token, refreshToken, tracker, settings: new Map(), recorded: new Set() },
    ...{ tracked: 0, refreshed: 0, chats: 0, unknownChats: 0, busy: Promise.resolve() },
  };
}

/** Opens people who record uses, chat, keep settings, are tracked and renew their sessions. */
export async function openPeople(stage: Stage, count: number): Promise<{ actor: Actor; tokens: readonly string[] }> {
  const { client, journal, postgres } = stage;
  const people = await Promise.all(Array.from({ length: count }, () => register(stage)));
  const expect = (what: string, status: number, text: string, ...allowed: number[]) => {
    if (!allowed.includes(status)) journal.violate(`${what}: ${status} ${text}`);
    return allowed.includes(status);
  };

  const refresh = async (person: Person) => {
    const body = { refresh_token: person.refreshToken };
    const { status, json, text } = await client.untilAnswered({ method: 'POST', path: '/auth/refresh', body });
    if (!expect(`a session of ${person.id} was lost`, status, text, 200)) return;
    const session = Value.Decode(SessionSchema, json);
    person.refreshed += 1;
    [person.token, person.refreshToken] = [session.token, session.refresh_token];
  };
  /** Asks for a person, whose client renews its session where the token is not good any more. */
  const ask = async (person: Person, asked: Asked): Promise<Reply> => {
    const reply = await client.untilAnswered({ ...asked, token: person.token });
    if (reply.status !== 401) return reply;
    await refresh(person);
    return client.untilAnswered({ ...asked, token: person.token });
  };
  const push = async (person: Person, random: Random) => {
    const [name, value] = [`setting-${random.below(40)}`, random.below(1_000_000)];
    const changes = { [name]: { value, updated_at: Date.now() } };
    const body = { device: 'chaos', base_version: 0, changes };
    const { status, text } = await ask(person, { method: 'POST', path: '/sync/push', body });
    if (expect('a push', status, text, 200)) person.settings.set(name, value);
  };
  const record = async (person: Person, random: Random) => {
    const use = {
      provider: 'claude',
      model: 'estimated',
      inputTokens: random.below(900),
      outputTokens: random.below(900),
    };
    const body = { ...use, timestamp: Date.now(), event_id: randomUUID() };
    const { status, json, text } = await ask(person, { method: 'POST', path: '/usage', body });
    if (expect('recording', status, text, 200, 201)) person.recorded.add(Value.Decode(RecordedSchema, json).id);
  };
  const track = async (person: Person, random: Random) => {
    const body = { usage: 1 + random.below(3), tokenCount: 10 };
    const asked = { method: 'POST', path: '/trackUsage', token: person.tracker, body, key: randomUUID() } as const;
    const { status, text } = await client.untilAnswered(asked);
    if (expect('tracking', status, text, 200)) person.tracked += body.usage;
  };
  const takeTurn = async (person: Person, act: () => Promise<void>) => {
    const turn = person.busy.then(act);
    person.busy = turn.catch(() => {});
    await turn;
  };
  const chat = async (person: Person) => {
    const body = { messages: [{ role: 'user', content: 'Hello! How are you?' }], max_tokens: 50 };
    const reply = await client.once({ method: 'POST', path: '/chat/stream', token: person.token, body });
    if (reply?.status === 503) return undefined;
    if (reply?.status === 401) return takeTurn(person, () => refresh(person));
    const isWhole = reply?.status === 200 && reply.text.includes('token_update') && reply.text.includes('[DONE]');
    if (isWhole) person.chats += 1;
    else person.unknownChats += 1;
    if (reply !== undefined && reply.status !== 200) journal.violate(`chat: ${reply.status} ${reply.text}`);
  };

  const checkPerson = async (person: Person): Promise<string[]> => {
    const wrong: string[] = [];
    const [found] = await postgres.sql<{ recorded: string[]; chats: number; tracked: string; settings: object }>(
      `select array(select id::text from public.usage_events where user_id = $1 and source = 'extension') as recorded,
              (select count(*)::integer from public.usage_events where user_id = $1 and source = 'chat') as chats,
              coalesce((select prompts from public.tracker_counters where user_id = $1), 0) as tracked`,
      [person.id],
    );
    const recorded = new Set(found?.recorded);
    const lost = [...person.recorded].filter((id) => !recorded.has(id));
    if (lost.length > 0 || recorded.size !== person.recorded.size || found?.recorded.length !== recorded.size) {
      wrong.push(
        `${person.id}: ${person.recorded.size} uses were acknowledged, ${found?.recorded.length} found, lost: ${lost}`,
      );
    }
    const chats = found?.chats ?? 0;
    if (chats < person.chats || chats > person.chats + person.unknownChats) {
      wrong.push(`${person.id}: ${person.chats} chats were told, ${person.unknownChats} unknown, ${chats} billed`);
    }
    if (Number(found?.tracked) !== person.tracked) {
      wrong.push(`${person.id}: ${person.tracked} tracked prompts were acknowledged, ${found?.tracked} counted`);
    }
    const { json, text } = await ask(person, { method: 'GET', path: '/sync/settings' });
    const Settings = Type.Object({ settings: Type.Record(Type.String(), Type.Integer()) });
    const settings = Value.Check(Settings, json) ? json.settings : {};
    for (const [name, value] of person.settings) {
      if (settings[name] !== value)
        wrong.push(`${person.id}: ${name} is ${settings[name]}, ${value} was acknowledged: ${text}`);
    }
    return wrong;
  };

  const actor: Actor = {
    name: 'people',
    atOnce: count * 2,
    act: async (random) => {
      const [person, choice] = [random.pick(people), random.next()];
      if (choice < 0.35) return chat(person);
      const doNext = async () => {
        if (choice < 0.45) await refresh(person);
        else if (choice < 0.65) await push(person, random);
        else if (choice < 0.85) await record(person, random);
        else await track(person, random);
      };
      await takeTurn(person, doNext);
    },
    summarize: () => {
      const sum = (count: (person: Person) => number) => people.reduce((total, person) => total + count(person), 0);
      const [uses, chats] = [sum(({ recorded }) => recorded.size), sum((person) => person.chats)];
      const unknown = sum(({ unknownChats }) => unknownChats);
      const refreshed = sum((person) => person.refreshed);
      const tracked = sum((person) => person.tracked);
      return `${uses} uses, ${chats} chats, ${unknown} unknown, ${tracked} tracked prompts, ${refreshed} renewals`;
    },
    check: async () => (await Promise.all(people.map(checkPerson))).flat(),
  };
  return { actor, tokens: people.map(({ token }) => token) };
}
