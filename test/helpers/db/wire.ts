import { createServer, connect as openConnection } from 'node:net';
import type { Test } from 'tap';

/** A message of a client to Postgres, as the protocol names it, and the text of a statement where it has one. */
export interface SentMessage {
  readonly type: string;
  readonly text: string;
}

/** A wire to Postgres that can be listened to. */
export interface Wire {
  /** Connection string through it. */
  readonly url: string;
  /** Returns what clients sent meanwhile, but for the start of their connections. */
  readonly record: (act: () => Promise<unknown>) => Promise<SentMessage[]>;
}

const toText = (type: string, body: Buffer): string => {
  const parts = body.toString('utf8').split('\0');
  if (type === 'Q') return parts[0] ?? '';
  // Parse has the statement's name first.
  return type === 'P' ? (parts[1] ?? '') : '';
};

/** Reads the messages of one client: the first has no type, all have their length. */
function createReader(onMessage: (message: SentMessage) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  let isStarted = false;
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const typeLength = isStarted ? 1 : 0;
      if (rest.length < typeLength + 4) return;
      const length = typeLength + rest.readInt32BE(typeLength);
      if (rest.length < length) return;
      const message = rest.subarray(0, length);
      rest = rest.subarray(length);
      const type = message.toString('latin1', 0, 1);
      if (isStarted && type !== 'p') onMessage({ type, text: toText(type, message.subarray(5)) });
      isStarted = true;
    }
  };
}

/** Opens a wire to a database. As it has a port of its own, the server takes it for a pooler. It ends with the test. */
export async function openWire(t: Test, databaseUrl: string): Promise<Wire> {
  const target = new URL(databaseUrl);
  const messages: SentMessage[] = [];
  const server = createServer((near) => {
    const far = openConnection(Number(target.port), target.hostname);
    const read = createReader((message) => messages.push(message));
    near.on('data', (chunk: Buffer) => {
      read(chunk);
      far.write(chunk);
    });
    far.pipe(near);
    near.on('close', () => far.destroy()).on('error', () => far.destroy());
    far.on('close', () => near.destroy()).on('error', () => near.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the wire has no port');
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${address.port}`;
  return {
    url: url.href,
    record: async (act) => {
      messages.length = 0;
      await act();
      return [...messages];
    },
  };
}
