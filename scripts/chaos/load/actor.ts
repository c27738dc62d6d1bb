import type { Random } from '../random.js';

/** Somebody who uses the servers, and remembers what was answered. */
export interface Actor {
  readonly name: string;
  /** How many of it act at the same time. */
  readonly atOnce: number;
  /** Does one thing, to its end. */
  readonly act: (random: Random) => Promise<void>;
  /** Says how much was acknowledged. */
  readonly summarize: () => string;
  /** Compares what was answered with the database, once all is well again; returns what is wrong, in sentences. */
  readonly check: () => Promise<readonly string[]>;
}
