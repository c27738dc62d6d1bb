import { type Static, Type } from '@sinclair/typebox';
import type { DeviceIdentity } from '../../auth/guards/device-guard.js';
import { createBatcher } from '../../metering/batcher.js';
import { outcomeReader, outcomesOf } from '../../metering/outcomes.js';
import { callDatabase, type DatabaseClient } from '../../platform/database/client/client.js';
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
}

/** Reads and changes device balances; the rules are the SQL function `meter_devices`'. */
export interface DeviceMeter {
  readonly balance: (device: DeviceIdentity) => Promise<Balance>;
  /** Prices a use; with `reserve`, sets its tokens aside where they suffice. */
  readonly check: (device: DeviceIdentity, use: Use, reserve: boolean) => Promise<Check>;
  /** Records a use and debits it, from the hold first where one is named. */
  readonly debit: (device: DeviceIdentity, use: Use, reservationId: string | undefined) => Promise<Debit>;
}

type Item = Record<string, Json>;

/** Postgres writes times with its own session's offset; answers are in UTC. */
function inUtc(check: Check): Check {
  return check.expires_at === undefined ? check : { ...check, expires_at: new Date(check.expires_at).toISOString() };
}

const readBalance = outcomeReader(BalanceSchema);
const readCheck = outcomeReader(CheckSchema);
const readDebit = outcomeReader(DebitSchema);

function itemOf(op: string, device: DeviceIdentity, use?: Use): Item {
  return {
    op,
    device_id: device.id,
    token_version: device.tokenVersion,
    model: use?.model ?? null,
    prompt_count: use?.promptCount ?? null,
    key: use?.idempotencyKey ?? null,
  };
}

/** Builds the meter of devices over a database; all its calls share batches. */
export function createDeviceMeter(database: DatabaseClient): DeviceMeter {
  const submit = createBatcher<Item, Json>(async (items) => {
    const answer = await callDatabase(() => database.rpc('meter_devices', { p_items: [...items] }));
    return outcomesOf(answer, items.length);
  });
  return {
    balance: async (device) => readBalance(await submit(itemOf('balance', device))),
    check: async (device, use, reserve) => inUtc(readCheck(await submit({ ...itemOf('check', device, use), reserve }))),
    debit: async (device, use, reservationId) =>
      readDebit(await submit({ ...itemOf('debit', device, use), reservation_id: reservationId ?? null })),
  };
}
