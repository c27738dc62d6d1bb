import { type Account, createSecret } from './account.js';
import { hasCode, TokenledgerError } from './errors.js';
import type { Locks } from './locks.js';
import { type LogResult, openQueue, type RefusalHook } from './queue.js';
import type { Store } from './storage.js';
import { type Call, readJson, type Send } from './transport.js';
import type {
  CheckBody,
  CheckedUse,
  DeviceBalance,
  RegisterDeviceBody,
  RegisteredDevice,
  Use,
  UseToLog,
} from './types.js';

/** What the server calls this installation, and what proves that it is the same one. */
interface Installation {
  readonly fingerprint: string;
  readonly secret: string;
}

interface KnownDevice {
  readonly id: string;
  readonly token: string;
}

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
   * @throws {TokenledgerError} INSUFFICIENT_TOKENS before `work` is begun
   */
  readonly spend: <T>(use: Use, work: () => Promise<T>) => Promise<T>;
  /** Sends what waits to be sent; resolves with how many uses still do. */
  readonly flush: () => Promise<number>;
  /** Stops trying by itself to send what waits; it stays kept. */
  readonly close: () => void;
}

export interface DeviceOptions {
  readonly send: Send;
  readonly account: Account;
  readonly store: Store;
  readonly locks: Locks;
  /** Shown to the person and to admins. */
  readonly name: string;
  /** Names the machine; by default something random that is kept, as `fingerprint` is no secret and may be guessed. */
  readonly fingerprint?: string | undefined;
  readonly enrollmentKey?: string | undefined;
  readonly maxQueued: number;
  readonly onRefused?: RefusalHook | undefined;
}

/** How long to wait before what is queued is tried again: twice as long each time, from 5 seconds to 5 minutes. */
const [FIRST_RETRY_MS, LAST_RETRY_MS] = [5_000, 300_000];

/** Creates what an installation does with its balance. */
export function createDevice({ send, account, store, locks, ...options }: DeviceOptions): Device {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let retryMs = FIRST_RETRY_MS;
  let isClosed = false;

  /** The secret is kept before it is sent: one that only the server knew would shut this installation out. */
  async function loadInstallation(): Promise<Installation> {
    const kept = await store.read<Installation>('installation');
    if (kept !== undefined) return kept;
    const made = { fingerprint: options.fingerprint ?? crypto.randomUUID(), secret: createSecret() };
    await store.write('installation', made);
    return made;
  }

  const keepToken = (id: string, token: string) => store.write('device', { id, token } satisfies KnownDevice);

  async function enroll(): Promise<RegisteredDevice> {
    const { fingerprint, secret } = await loadInstallation();
    const known = await store.read<KnownDevice>('device');
    const body: RegisterDeviceBody = {
      device_name: options.name,
      hardware_fingerprint: fingerprint,
      device_secret: secret,
      ...(known && { device_token: known.token }),
      ...(options.enrollmentKey !== undefined && { enrollment_key: options.enrollmentKey }),
    };
    const registerWith = (sender: Send) => sender('/devices/register', { body }, readJson<RegisteredDevice>);
    const device = (await account.isSignedIn())
      ? await registerWith(account.send).catch((error: unknown) => {
          // The session has ended, or the key may do no more than chat: the device is nobody's, as before.
          if (hasCode(error, 'SIGNED_OUT', 'INSUFFICIENT_SCOPE')) return registerWith(send);
          throw error;
        })
      : await registerWith(send);
    await keepToken(device.device_id, device.device_token);
    return device;
  }

  /** Returns the device, registered again where `worn` is still its token; once for all windows. */
  const load = async (worn?: string): Promise<KnownDevice> => {
    const known = await store.read<KnownDevice>('device');
    if (known !== undefined && known.token !== worn) return known;
    return locks.request('device', async () => {
      const current = await store.read<KnownDevice>('device');
      if (current !== undefined && current.token !== worn) return current;
      const { device_id: id, device_token: token } = await enroll();
      return { id, token };
    });
  };

  /** Sends a request as the device, and keeps the token that an answer may bring in the last months of the old one. */
  async function sendAsDevice<T>(toPath: (id: string) => string, call: Call): Promise<T> {
    const sendWith = ({ id, token }: KnownDevice) =>
      send(toPath(id), { ...call, token }, async (response) => {
        const next = response.headers.get('x-device-token');
        if (next !== null) await keepToken(id, next).catch(() => {});
        return readJson<T>(response);
      });
    const device = await load();
    try {
      return await sendWith(device);
    } catch (error) {
      if (!(error instanceof TokenledgerError && error.status === 401)) throw error;
      return sendWith(await load(device.token));
    }
  }

  // A hold whose answer was lost is the same hold, and no second one.
  const check = (body: CheckBody) =>
    sendAsDevice<CheckedUse>(() => '/devices/check-can-use', { body, idempotencyKey: crypto.randomUUID() });
  const hold = (use: Use) => check({ ...use, reserve: true });

  const queue = openQueue({
    store,
    locks,
    sendUse: (body) => sendAsDevice(() => '/usage/log', { body }),
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
    register: () => locks.request('device', enroll),
    balance: () => sendAsDevice((id) => `/devices/${id}/tokens`, { method: 'GET' }),
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
      await log({ ...use, ...(reservation_id !== undefined && { reservation_id }) });
      return result;
    },
    flush,
    close: () => {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}
