import { randomUUID } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { Asked, Reply } from '../client.js';
import type { Random } from '../random.js';
import type { Stage } from '../stage.js';
import type { Actor } from './actor.js';

const RegisteredSchema = Type.Object({ device_id: Type.String(), device_token: Type.String() });
const DebitedSchema = Type.Object({ event_id: Type.String(), tokens_used: Type.Integer() });
const HeldSchema = Type.Object({ can_use: Type.Boolean(), reservation_id: Type.Optional(Type.String()) });
const RefusalSchema = Type.Object({ code: Type.String() });
type Debited = Static<typeof DebitedSchema>;

interface Device {
  readonly id: string;
  readonly token: string;
  /** Tokens of each debit that was acknowledged, by the id of its event. */
  readonly debits: Map<string, number>;
  /** Requests that were acknowledged, to be sent again in the end. */
  readonly keyed: { readonly asked: Asked; readonly debited: Debited }[];
  /** Debits without a key whose answer was lost: each may have happened once. */
  unknown: number;
}

const MODELS = ['gpt-5', 'claude-opus-4.5', 'gemini-3'];
/** What a device may be told besides its debit. */
const REFUSALS = ['INSUFFICIENT_TOKENS'];
const SENT_AGAIN = 200;

/** Registers a device. */
async function register({ client }: Stage): Promise<Device> {
  const body = { device_name: 'Chaos', hardware_fingerprint: randomUUID() };
  const { json } = await client.untilAnswered({ method: 'POST', path: '/devices/register', body });
  const { device_id: id, device_token: token } = Value.Decode(RegisteredSchema, json);
  return { id, token, debits: new Map(), keyed: [], unknown: 0 };
}

/** Opens devices that debit, hold and read, and send again what was not answered. */
export async function openDevices(stage: Stage, count: number): Promise<{ actor: Actor; ids: readonly string[] }> {
  const { client, journal } = stage;
  const devices = await Promise.all(Array.from({ length: count }, () => register(stage)));

  const note = (device: Device, asked: Asked, { status, json, text }: Reply): Debited | undefined => {
    if (status === 200 || status === 201) {
      const debited = Value.Decode(DebitedSchema, json);
      device.debits.set(debited.event_id, debited.tokens_used);
      return debited;
    }
    const code = Value.Check(RefusalSchema, json) ? json.code : text;
    if (!REFUSALS.includes(code)) journal.violate(`${asked.path} of device ${device.id}: ${status} ${text}`);
    return undefined;
  };
  const debit = (device: Device, random: Random, more: object = {}): Asked => ({
    method: 'POST',
    path: random.chance(0.5) ? '/usage/log' : `/devices/${device.id}/usage`,
    token: device.token,
    body: { model_type: random.pick(MODELS), prompt_count: 1 + random.below(3), ...more },
  });

  const debitWithKey = async (device: Device, random: Random, more: object = {}) => {
    const asked = { ...debit(device, random, more), key: randomUUID() };
    // Impatient clients send it twice at once, to both servers.
    const replies = await Promise.all(
      random.chance(0.1) ? [client.untilAnswered(asked), client.untilAnswered(asked)] : [client.untilAnswered(asked)],
    );
    const debits = replies.flatMap((reply) => note(device, asked, reply) ?? []);
    const [debited] = debits;
    if (debited === undefined) return;
    device.keyed.push({ asked, debited });
    if (debits.some(({ event_id }) => event_id !== debited.event_id)) {
      journal.violate(`one key of device ${device.id} made two events: ${JSON.stringify(debits)}`);
    }
  };
  const debitOnce = async (device: Device, random: Random) => {
    const asked = debit(device, random);
    const reply = await client.once(asked);
    if (reply !== undefined && reply.status < 500) note(device, asked, reply);
    // Where a pooler loses its session after the commit, it says so at once, and the server can only say 503.
    else if (reply === undefined || stage.pooler !== undefined) device.unknown += 1;
  };
  const hold = async (device: Device, random: Random) => {
    const { token } = device;
    const body = { model_type: random.pick(MODELS), reserve: true };
    const asked = { method: 'POST', path: '/devices/check-can-use', token, body, key: randomUUID() } as const;
    const reply = await client.untilAnswered(asked);
    if (reply.status !== 200) return void note(device, asked, reply);
    const held = Value.Decode(HeldSchema, reply.json);
    // Some holds are never used: they must come back by themselves.
    if (held.reservation_id === undefined || random.chance(0.2)) return;
    await debitWithKey(device, random, { model_type: body.model_type, reservation_id: held.reservation_id });
  };
  const read = async (device: Device) => {
    const reply = await client.once({ method: 'GET', path: `/devices/${device.id}/tokens`, token: device.token });
    if (reply !== undefined && reply.status >= 400 && reply.status < 500) {
      journal.violate(`device ${device.id} cannot read its balance: ${reply.text}`);
    }
  };

  const checkDevice = async (device: Device): Promise<string[]> => {
    const rows = await stage.postgres.sql<{ id: string; cost: string }>(
      'select id, cost from public.usage_events where subject_id = $1',
      [device.id],
    );
    const costs = new Map(rows.map(({ id, cost }) => [id, Number(cost)]));
    const lost = [...device.debits].filter(([id, tokens]) => costs.get(id) !== tokens);
    const surplus = [...costs.keys()].filter((id) => !device.debits.has(id)).length;
    const wrong = lost.map(([id, tokens]) => `${device.id}: acknowledged ${id} of ${tokens}, found ${costs.get(id)}`);
    if (costs.size !== rows.length) wrong.push(`${device.id}: events with the same id`);
    if (surplus > device.unknown) {
      wrong.push(
        `${device.id}: ${surplus} events nobody was told of, ${device.unknown} answers without a key were lost`,
      );
    }
    return wrong;
  };
  const sendAgain = async (device: Device): Promise<string[]> => {
    const wrong: string[] = [];
    for (const { asked, debited } of device.keyed.slice(-SENT_AGAIN)) {
      const { text, json } = await client.untilAnswered(asked);
      const same = Value.Check(DebitedSchema, json) && json.event_id === debited.event_id;
      if (!same) wrong.push(`${device.id}: the key of ${debited.event_id} was answered by ${text}`);
    }
    return wrong;
  };

  const actor: Actor = {
    name: 'devices',
    atOnce: count * 2,
    act: async (random) => {
      const [device, choice] = [random.pick(devices), random.next()];
      if (choice < 0.6) await debitWithKey(device, random);
      else if (choice < 0.7) await debitOnce(device, random);
      else if (choice < 0.9) await hold(device, random);
      else await read(device);
    },
    summarize: () => {
      const debits = devices.reduce((sum, device) => sum + device.debits.size, 0);
      return `${debits} debits, ${devices.reduce((sum, device) => sum + device.unknown, 0)} unknown`;
    },
    check: async () => {
      const checkOne = async (device: Device) => [...(await sendAgain(device)), ...(await checkDevice(device))];
      return (await Promise.all(devices.map(checkOne))).flat();
    },
  };
  return { actor, ids: devices.map(({ id }) => id) };
}
