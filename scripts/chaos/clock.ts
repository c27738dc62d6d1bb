/** Names the file in which a server's clock is told, in milliseconds, by how much it is ahead. */
export const CLOCK_VARIABLE = 'CHAOS_CLOCK';

/**
 * Replaces the clock on the wall of this process, `Date`, by one that goes wrong; timers and `performance` go on as before.
 * @param offset returns by how many milliseconds it is ahead now
 * @returns puts the right one back
 */
export function installClock(offset: () => number): () => void {
  const right = Date;
  const now = () => right.now() + offset();
  globalThis.Date = new Proxy(right, {
    construct: (_target, given, newTarget) => Reflect.construct(right, given.length === 0 ? [now()] : given, newTarget),
    apply: () => new right(now()).toString(),
    get: (_target, name) => (name === 'now' ? now : Reflect.get(right, name)),
  });
  return () => {
    globalThis.Date = right;
  };
}
