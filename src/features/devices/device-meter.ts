import { type Static, Type } from '@sinclair/typebox';
import type { Limiter } from '../../auth/limits/limiter.js';
import type { DeviceIdentity } from '../../auth/tokens/device-tokens.js';
import type { Sender } from '../../metering/lane.js';
import { createOutcomeBatcher, createOutcomeDecoder } from '../../metering/outcomes.js';
import type { Database } from '../../platform/database/client/database.js';
import type { Json } from '../../platform/database/client/types.js';

const Tokens = Type.Integer({ minimum: 0 });
const BalanceSchema = Type.Object({ allocated: Tokens, used: Tokens, reserved: Tokens, remaining: Tokens });
const CheckSchema = Type.Object({
  can_use: Type.Boolean(),
  tokens_needed: Tokens,
  remaining: Tokens,
  reservation_id: Type.Optional(Type.String()),
  expires_at: Type.Optional(Type.String()),
});
const DebitSchema = Type.Object({ event_id: Type.String(), tokens_used: Tokens, remaining: Tokens });

/** Tokens of a device: granted, spent in this period, set aside, and what is left. */
export type Balance = Static<typeof BalanceSchema>;
/** Whether a use is affordable, its price, and the hold where one was asked for and granted. */
export type Check = Static<typeof CheckSchema>;
/** A recorded use: its event, its price and what is left. */
export type Debit = Static<typeof DebitSchema>;

/** A use of a model, to be priced by `model_costs`. */
export interface Use {
  readonly model: string;
  readonly promptCount: number;
  readonly idempotencyKey: string | undefined;
  /** Who waits for the answer: once that is gone, a use that has not been sent is dropped. */
  readonly sender?: Sender;
}

/** Reads and changes device balances, by the rules of the SQL function `meter_devices`. */
export interface DeviceMeter {
  readonly balance: (device: DeviceIdentity, sender: Sender) => Promise<Balance>;
  /** Prices a use; with `reserve`, sets its tokens aside where they suffice. */
  readonly check: (device: DeviceIdentity, use: Use, reserve: boolean) => Promise<Check>;
  /** Records a use and debits it, from the hold first where one is named. */
  readonly debit: (device: DeviceIdentity, use: Use, reservationId: string | undefined) => Promise<Debit>;
}

interface Item extends Record<string, Json | undefined> {
  readonly device_id: string;
}

/** Converts the expiry to UTC, as Postgres writes times with its session's offset. */
function toUtc(check: Check): Check {
  return check.expires_at === undefined ? check : { ...check, expires_at: new Date(check.expires_at).toISOString() };
}

const decodeBalance = createOutcomeDecoder(BalanceSchema);
const decodeCheck = createOutcomeDecoder(CheckSchema);
const decodeDebit = createOutcomeDecoder(DebitSchema);

/** Builds an item without what it does not say: reading a null takes Postgres as long as reading a value. */
function toItem(op: string, device: DeviceIdentity, use?: Use): Item {
  return {
    op,
    device_id: device.id,
    token_version: device.tokenVersion,
    model: use?.model,
    prompt_count: use?.promptCount,
    key: use?.idempotencyKey,
  };
}

/** Creates the meter of devices over a database; all its calls share batches. */
export function createDeviceMeter(database: Database): DeviceMeter {
  const submit = createOutcomeBatcher(database, 'meter_devices', (p_items: Item[]) => ({ p_items }), {
    toSubject: ({ device_id }) => device_id,
  });
  return {
    balance: async (device, sender) => decodeBalance(await submit(toItem('balance', device), sender)),
    check: async (device, use, reserve) =>
      toUtc(decodeCheck(await submit({ ...toItem('check', device, use), reserve }, use.sender))),
    debit: async (device, use, reservationId) =>
      decodeDebit(await submit({ ...toItem('debit', device, use), reservation_id: reservationId }, use.sender)),
  };
}

/** Has a meter tell the limiter what was debited; the device's next request finds it. */
export function limitDeviceMeter(meter: DeviceMeter, limiter: Limiter): DeviceMeter {
  return {
    ...meter,
    debit: async (device, use, reservationId) => {
      const debit = await meter.debit(device, use, reservationId);
      await limiter.spend({ kind: 'device', id: device.id }, debit.tokens_used);
      return debit;
    },
  };
}
