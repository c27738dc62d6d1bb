import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { toSystemCode } from '../../../src/config/startup-error.js';
import type { BenchOptions } from '../options.js';
import type { CaseResult } from './result.js';

const FigureSchema = Type.Object({
  median: Type.Union([Type.Number(), Type.Null()]),
  spread: Type.Union([Type.Number(), Type.Null()]),
});
const RowSchema = Type.Object({
  name: Type.String(),
  connections: Type.Optional(Type.Integer()),
  ratios: Type.Record(Type.String(), FigureSchema),
});

/** What a comparison reads of an earlier result. */
const EarlierSchema = Type.Object({
  started_at: Type.String(),
  cases: Type.Array(Type.Object({ name: Type.String(), rows: Type.Array(RowSchema) })),
});
export type EarlierResult = Static<typeof EarlierSchema>;

/** Builds the document that is kept: every round of every figure, and on what it was measured. */
export function toDocument(startedAt: Date, options: BenchOptions, cases: readonly CaseResult[]) {
  return {
    started_at: startedAt.toISOString(),
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: availableParallelism(),
      memory_bytes: totalmem(),
      platform: `${process.platform} ${process.arch}`,
      node: process.version,
    },
    options: { rounds: options.rounds, seconds: options.seconds, long: options.long },
    environment: { WORKERS: process.env['WORKERS'], DATABASE_POOL_SIZE: process.env['DATABASE_POOL_SIZE'] },
    cases,
  };
}

/** Writes a result, for people and for a later comparison. */
export async function writeResult(file: string, document: ReturnType<typeof toDocument>): Promise<void> {
  await writeFile(file, `${JSON.stringify(document, null, 2)}\n`);
}

/** Reads an earlier result; undefined where there is none. @throws where the file is something else */
export async function readResult(file: string): Promise<EarlierResult | undefined> {
  try {
    return Value.Decode(EarlierSchema, JSON.parse(await readFile(file, 'utf8')));
  } catch (error) {
    if (toSystemCode(error) === 'ENOENT') return undefined;
    throw new Error(`${file} is no result of this benchmark`, { cause: error });
  }
}
