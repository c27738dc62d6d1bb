import { TokenledgerError } from './errors.js';
import { type LogResult, openQueue, type RefusalHook } from './queue.js';
import { createRegistration, type KnownDevice, type RegistrationOptions } from './registration.js';
import { type Call, readJson } from './transport.js';
import type { CheckBody, CheckedUse, DeviceBalance, LoggedUsage, RegisteredDevice, Use, UseToLog } from './types.js';

/** This installation of the extension. */
export interface Device {
  /**
   * Registers the device or finds it again, and links it to the person who is signed in. To be called on each activation,
   * and after signing in.
   */
  readonly register: () => Promise<RegisteredDevice>;
  readonly balance: () => Promise<DeviceBalance>;
  /** Says whether a use is affordable, and holds nothing. */
  readonly check: (use: Use) => Promise<CheckedUse>;
  /** Says whether a use is affordable, and holds its tokens for ten minutes. */
  readonly hold: (use: Use) => Promise<CheckedUse>;
  /**
   * Records a use. It is kept first, so that it survives a server that is down and the end of this process, and charged
   * once however often it is sent.
   * @throws {TokenledgerError} when it is refused, as with INSUFFICIENT_TOKENS
   */
  readonly log: (use: UseToLog) => Promise<LogResult>;
  /**
   * Holds the tokens of a use, makes it, and records it; when `work` fails nothing is charged.
   * @throws {TokenledgerError} INSUFFICIENT_TOKENS before `work` is begun; what goes wrong after it goes to `onRefused`
   */
  readonly spend: <T>(use: Use, work: () => Promise<T>) => Promise<T>;
  /** Sends what waits to be sent; resolves with how many uses still do. */
  readonly flush: () => Promise<number>;
  /** Stops trying by itself to send what waits; it stays kept. */
  readonly close: () => void;
}

export interface DeviceOptions extends RegistrationOptions {
  readonly maxQueued: number;
  readonly onRefused?: RefusalHook | undefined;
}

/** How long to wait before what is queued is tried again: twice as long each time, from 5 seconds to 5 minutes. */
const [FIRST_RETRY_MS, LAST_RETRY_MS] = [5_000, 300_000];

/** Creates what an installation does with its balance. */
export function createDevice(options: DeviceOptions): Device {
  const { send, store, locks } = options;
  const registration = createRegistration(options);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let retryMs = FIRST_RETRY_MS;
  let isClosed = false;

  /**
   * Sends a request as the present device, or as an earlier one, and keeps the token that an answer may bring in the last
   * months of the old one.
   */
  async function sendAsDevice<T>(toPath: (id: string) => string, call: Call, earlierId?: string): Promise<T> {
    const sendWith = ({ id, token }: KnownDevice) =>
      send(toPath(id), { ...call, token }, async (response) => {
        const next = response.headers.get('x-device-token');
        if (next) await registration.keepToken({ id, token: next }).catch(() => {});
        return readJson<T>(response);
      });
    const device = await registration.load(earlierId);
    try {
      return await sendWith(device);
    } catch (error) {
      if (!(error instanceof TokenledgerError && error.status === 401)) throw error;
      return sendWith(await registration.load(earlierId, device.token));
    }
  }

  // A hold whose answer was lost is the same hold, and no second one.
  const check = (body: CheckBody) =>
    sendAsDevice<CheckedUse>(() => '/devices/check-can-use', { body, idempotencyKey: crypto.randomUUID() });
  const hold = (use: Use) => check({ ...use, reserve: true });

  const queue = openQueue({
    store,
    locks,
    device: async () => (await registration.load()).id,
    knownDevice: registration.findId,
    sendUse: (body, id) => sendAsDevice<LoggedUsage>(() => '/usage/log', { body }, id),
    maxLength: options.maxQueued,
    onRefused: options.onRefused,
    onBlocked: (retryAfter = 0) => {
      if (isClosed) return;
      clearTimeout(timer);
      timer = setTimeout(() => void flush().catch(() => {}), Math.max(retryMs, retryAfter * 1_000));
      // Node may end although it waits; browsers have numbers for timers.
      Object(timer).unref?.();
      retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
    },
  });
  const flush = async () => {
    const left = await queue.flush();
    if (left === 0) retryMs = FIRST_RETRY_MS;
    return left;
  };
  const log = (use: UseToLog) => queue.log({ ...use, event_id: use.event_id ?? crypto.randomUUID() });

  return {
    register: registration.register,
    balance: () => sendAsDevice((id) => `/devices/${id}/tokens`, {}),
    check,
    hold,
    log,
    spend: async (use, work) => {
      const { can_use, reservation_id, remaining, tokens_needed } = await hold(use);
      if (!can_use) {
        const body = { remaining, requested: tokens_needed };
        throw new TokenledgerError('INSUFFICIENT_TOKENS', 'Insufficient tokens', { status: 403, body });
      }
      const result = await work();
      // What was done is done: its result is not lost where it cannot be counted.
      await log({ ...use, ...(reservation_id && { reservation_id }) }).catch((error) =>
        options.onRefused?.(use, error),
      );
      return result;
    },
    flush,
    close: () => {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}
