import { type Account, createSecret } from './account.js';
import { hasCode, TokenledgerError } from './errors.js';
import type { Locks } from './locks.js';
import type { Store } from './storage.js';
import { readJson, type Send } from './transport.js';
import type { RegisterDeviceBody, RegisteredDevice } from './types.js';

/** What the server calls this installation, and what proves that it is the same one. */
interface Installation {
  readonly fingerprint: string;
  readonly secret: string;
}

/** The devices that this installation was: somebody else who signs in has another one. */
interface Devices {
  readonly current: string;
  /** By id; what somebody used before may still wait to be sent. */
  readonly tokens: Readonly<Record<string, string>>;
}

/** A device with a token that was good when it was kept. */
export interface KnownDevice {
  readonly id: string;
  readonly token: string;
}

/** Who this installation is. */
export interface Registration {
  /** Registers the present device, or finds it again. */
  readonly register: () => Promise<RegisteredDevice>;
  /** The present device's id, where it was registered before. */
  readonly findId: () => Promise<string | undefined>;
  /**
   * Returns the present device, registered first where it is not, or an earlier one.
   * @param worn a token that has ended: another one is wanted
   * @throws {TokenledgerError} DEVICE_NOT_FOUND for an earlier device that has none
   */
  readonly load: (id?: string, worn?: string) => Promise<KnownDevice>;
  /** Keeps a token that came with an answer. */
  readonly keepToken: (device: KnownDevice) => Promise<unknown>;
}

export interface RegistrationOptions {
  readonly send: Send;
  readonly account: Account;
  readonly store: Store;
  readonly locks: Locks;
  readonly name: string;
  readonly fingerprint?: string | undefined;
  readonly enrollmentKey?: string | undefined;
}

/** Creates what registers an installation, once for all windows. */
export function createRegistration({ send, account, store, locks, ...options }: RegistrationOptions): Registration {
  const read = () => store.read<Devices>('device');
  const inTurn = <T>(work: () => Promise<T>) => locks.request('device', work);

  async function keep(id: string, token: string, current: string): Promise<void> {
    await store.write('device', { current, tokens: { ...(await read())?.tokens, [id]: token } } satisfies Devices);
  }

  /** The secret is kept before it is sent: one that only the server knew would shut this installation out. */
  async function loadInstallation(): Promise<Installation> {
    const kept = await store.read<Installation>('installation');
    if (kept) return kept;
    const made = { fingerprint: options.fingerprint ?? crypto.randomUUID(), secret: createSecret() };
    await store.write('installation', made);
    return made;
  }

  async function enroll(): Promise<RegisteredDevice> {
    const { fingerprint, secret } = await loadInstallation();
    const known = await read();
    const device_token = known?.tokens[known.current];
    const body: RegisterDeviceBody = {
      device_name: options.name,
      hardware_fingerprint: fingerprint,
      device_secret: secret,
      ...(device_token && { device_token }),
      ...(options.enrollmentKey && { enrollment_key: options.enrollmentKey }),
    };
    const registerWith = (sender: Send) => sender('/devices/register', { body }, readJson<RegisteredDevice>);
    const device = await registerWith(account.send).catch((error: unknown) => {
      // Nobody is signed in, or the key may do no more than chat: the device is nobody's, or whose it was.
      if (hasCode(error, 'SIGNED_OUT', 'INSUFFICIENT_SCOPE')) return registerWith(send);
      throw error;
    });
    await keep(device.device_id, device.device_token, device.device_id);
    return device;
  }

  /** Returns what is known of a device; undefined where the present one has to be registered. */
  async function find(id?: string, worn?: string): Promise<KnownDevice | undefined> {
    const known = await read();
    const wanted = id ?? known?.current ?? '';
    const token = known?.tokens[wanted];
    if (token && token !== worn) return { id: wanted, token };
    if (known && wanted !== known.current) throw new TokenledgerError('DEVICE_NOT_FOUND', 'This device has ended');
    return undefined;
  }

  return {
    register: () => inTurn(enroll),
    findId: async () => (await read())?.current,
    load: async (id, worn) =>
      (await find(id, worn)) ??
      (await inTurn(async () => {
        const known = await find(id, worn);
        if (known) return known;
        const { device_id, device_token } = await enroll();
        return { id: device_id, token: device_token };
      })),
    keepToken: ({ id, token }) => inTurn(async () => keep(id, token, (await read())?.current ?? id)),
  };
}
