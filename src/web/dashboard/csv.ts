import { answered } from './api.js';
import { make } from './dom.js';
import { sendSigned } from './session.js';
import { type Days, daysQuery } from './time.js';

/** Until the browser has surely begun to save what was handed to it. */
const SAVING_MS = 60_000;
/** A long file takes its time. */
const PATIENCE_MS = 10 * 60_000;

/**
 * Saves the events of some days as a file. A plain link could not carry the access token; the answer goes into a blob,
 * which the browser keeps outside this page's memory.
 */
export async function saveCsv(days: Days): Promise<void> {
  const response = await sendSigned(`usage.csv?${daysQuery(days)}`, { signal: AbortSignal.timeout(PATIENCE_MS) });
  const address = URL.createObjectURL(await answered(response.blob()));
  const link = make('a');
  link.href = address;
  link.download = `usage-${days.from}-to-${days.to}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), SAVING_MS);
}
