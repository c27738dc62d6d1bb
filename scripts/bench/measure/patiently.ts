import { setTimeout as delay } from 'node:timers/promises';

/** How often something is tried, a second apart. */
const ATTEMPTS = 30;
const PAUSE_MS = 1_000;

/**
 * Tries again what is refused and is not measured, as clients do: a busy machine now and then makes somebody wait too long.
 * @throws what the last attempt threw
 */
export async function tryPatiently<T>(act: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await act();
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await delay(PAUSE_MS);
    }
  }
}
