import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { CsvError, parse } from 'csv-parse';
import { toSystemCode } from '../../src/config/startup-error.js';
import { UsageError } from '../command-line.js';

/** Files of any origin: only how many records there are matters, not what they hold. */
const TOLERANT = {
  bom: true,
  record_delimiter: ['\r\n', '\n'],
  relax_column_count: true,
  relax_quotes: true,
  skip_empty_lines: true,
};

/**
 * Counts the records of a CSV file below its header, as one record is one prompt and nothing else of it is needed.
 * @throws {UsageError} when the file cannot be read or has no records
 */
export async function countRows(file: string): Promise<number> {
  let records = 0;
  try {
    await pipeline(createReadStream(file), parse(TOLERANT), async (parsed) => {
      for await (const _record of parsed) records += 1;
    });
  } catch (error) {
    const reason = error instanceof CsvError ? error.message : toSystemCode(error);
    throw new UsageError(`--file ${file} cannot be read (${reason ?? 'unknown reason'})`);
  }
  if (records < 2) throw new UsageError(`--file ${file} has no rows below its header`);
  return records - 1;
}
