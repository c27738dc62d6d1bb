import type { Query } from '../../foundation/api/send.js';
import { api } from '../session.js';

/** A file of a large server takes longer than other answers are waited for, in milliseconds. */
const PATIENCE_MS = 10 * 60 * 1_000;

/** Downloads usage as a CSV file: the request needs its header, so a link alone would not do. */
export async function downloadUsage(query: Query): Promise<void> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const response = await api.send('admin/usage.csv', { query, signal, endless: true });
  const address = URL.createObjectURL(await response.blob());
  const link = document.createElement('a');
  link.href = address;
  link.download = `usage-${String(query['from'])}-${String(query['to'])}.csv`;
  link.click();
  URL.revokeObjectURL(address);
}
