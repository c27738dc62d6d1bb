import { Counter, Gauge } from 'prom-client';
import { registry } from './registry.js';

const reads = new Counter({
  name: 'tokenledger_reads_total',
  help: 'Reads that may be of a standby, by where they were made: replica, or primary and why.',
  labelNames: ['from', 'reason'] as const,
  registers: [registry],
});

const lagSeconds = new Gauge({
  name: 'tokenledger_read_lag_seconds',
  help: 'How far the standby was behind when last looked at, at most; +Inf where that is not known. Without a standby 0.',
  registers: [registry],
});

/** Why the primary was read. */
export type ReadReason = 'none' | 'unusable' | 'behind' | 'failed';

/** Reports where something was read. @param reason none where it was the standby */
export function reportRead(from: 'replica' | 'primary', reason: ReadReason): void {
  reads.inc({ from, reason });
}

/** Reports how far the standby is behind. */
export function reportLag(milliseconds: number): void {
  lagSeconds.set(milliseconds / 1_000);
}
