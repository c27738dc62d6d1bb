import { answered } from '../foundation/api/send.js';
import { api } from '../foundation/session/person-session.js';

/** Until the browser has surely begun to save what was handed to it. */
const SAVING_MS = 60_000;
/** A long file takes its time. */
const PATIENCE_MS = 10 * 60_000;

/**
 * Saves what the server answers as a file. A plain link could not carry the access token; the answer goes into a blob,
 * which the browser keeps outside this page's memory.
 */
export async function saveFile(path: string, query: Readonly<Record<string, string>>, name: string): Promise<void> {
  const response = await api.send(path, { query, endless: true, signal: AbortSignal.timeout(PATIENCE_MS) });
  const address = URL.createObjectURL(await answered(response.blob()));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), SAVING_MS);
}
