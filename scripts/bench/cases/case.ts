import type { Measurement } from '../measure/closed-loop.js';
import type { Stage } from '../stage/stage.js';

/** What is compared with what. */
export interface Contestant {
  readonly name: string;
  /** How many requests it makes at a time; undefined where that says nothing. */
  readonly connections?: number;
  /** True for what others are compared with. */
  readonly isReference?: true;
  /** The names of the references it is compared with; by default all, and none where it is a reference itself. */
  readonly against?: readonly string[];
  /** Measures once. */
  readonly run: (seconds: number) => Promise<Measurement>;
}

/** A case, with all it needs, ready for its rounds. */
export interface OpenedCase {
  readonly contestants: readonly Contestant[];
  readonly close: () => Promise<void>;
}

/** How cases are run. */
export interface CaseSettings {
  /** How many requests are made at a time, one run each; undefined for what each case finds sensible. */
  readonly connections: readonly number[] | undefined;
  /** Whether a case may take an hour. */
  readonly long: boolean;
}

/** One question the benchmark answers. */
export interface Case {
  readonly name: string;
  /** What is measured, in a line. */
  readonly question: string;
  /** The figure whose ratios to the references are told. */
  readonly compares: string;
  /** Figures whose difference to the reference is told as well. */
  readonly adds?: readonly string[];
  /** Fewer rounds than asked for, where one takes long. */
  readonly mostRounds?: number;
  /** False where every run is a first one. */
  readonly warmsUp: boolean;
  readonly open: (stage: Stage, settings: CaseSettings) => Promise<OpenedCase>;
}
