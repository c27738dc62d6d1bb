import type { Test } from '../../run/tap.js';
import type { Hands } from '../hands.js';

/** What a task may need: ids and names that are there for whoever does it. */
export interface Place {
  readonly word: string;
  readonly email: string;
  readonly userId: string;
  readonly device: string;
}

export type Task = (hands: Hands, place: Place, t: Test) => Promise<void>;
/** Tasks by what they come to, in an order in which one finds what the one before left. */
export type Tasks = Readonly<Record<string, Task>>;
