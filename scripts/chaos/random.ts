import { createHash } from 'node:crypto';

/** A source of choices that makes the same ones again for the same seed. */
export interface Random {
  /** A number from 0 up to 1. */
  readonly next: () => number;
  /** A whole number from 0 up to, and without, `bound`. */
  readonly below: (bound: number) => number;
  /** Whether something happens that happens with this probability. */
  readonly chance: (probability: number) => boolean;
  /** One of a list. @throws for an empty one */
  readonly pick: <T>(list: readonly T[]) => T;
  /** A source of its own for a part, so that what others choose does not change its choices. */
  readonly fork: (name: string) => Random;
}

/** Creates a source of choices (mulberry32). */
export function createRandom(seed: string): Random {
  let state = createHash('sha256').update(seed).digest().readUInt32LE();
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (bound: number) => Math.floor(next() * bound);
  return {
    next,
    below,
    chance: (probability) => next() < probability,
    pick: (list) => {
      const picked = list[below(list.length)];
      if (picked === undefined) throw new Error('nothing to choose from');
      return picked;
    },
    fork: (name) => createRandom(`${seed}/${name}`),
  };
}

/** Returns a whole number, such as a time in milliseconds, between two. */
export const between = (random: Random, least: number, most: number): number => least + random.below(most - least);
