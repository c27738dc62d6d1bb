import { createReadStream } from 'node:fs';
import { systemCodeOf } from '../../src/platform/startup-error.js';
import { UsageError } from './options.js';

/**
 * Counts the records of a CSV file without its header, as one record is one prompt and nothing else of it is needed.
 * Line breaks inside quotes belong to their record; empty lines are none.
 *
 * @throws {UsageError} when the file cannot be read or has no records
 */
export async function countRows(file: string): Promise<number> {
  let records = 0;
  let quoted = false;
  let empty = true;
  const endLine = () => {
    if (!empty) records += 1;
    empty = true;
  };
  try {
    for await (const chunk of createReadStream(file, 'utf8')) {
      for (const character of String(chunk)) {
        // A doubled quote inside quotes closes and opens at once.
        if (character === '"') quoted = !quoted;
        if (character === '\n' && !quoted) endLine();
        else if (character !== '\r' && character !== '\uFEFF') empty = false;
      }
    }
  } catch (error) {
    throw new UsageError(`--file ${file} cannot be read (${systemCodeOf(error) ?? 'unknown reason'})`);
  }
  endLine();
  if (records < 2) throw new UsageError(`--file ${file} has no rows below its header`);
  return records - 1;
}
