import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { Test } from 'tap';
import { until } from '../until.js';

const EventSchema = Type.Object({
  tags: Type.Record(Type.String(), Type.String()),
  exception: Type.Object({
    values: Type.Array(
      Type.Object({
        type: Type.String(),
        value: Type.String(),
        stacktrace: Type.Object({ frames: Type.Array(Type.Object({ filename: Type.String() })) }),
      }),
    ),
  }),
});

/** Finds the event of an envelope: lines of JSON, of which the first is its header, and the others items with theirs. */
function parseEnvelope(text: string) {
  const [, header = '{}', event = '{}'] = text.split('\n');
  return { header: JSON.parse(header), event: Value.Parse(EventSchema, JSON.parse(event)) };
}

/** Opens a server that takes envelopes as Sentry does, and keeps them. */
export async function openSentryServer(t: Test) {
  /** What was sent, heads included, word for word. */
  const requests: string[] = [];
  const events: ReturnType<typeof parseEnvelope>['event'][] = [];
  const server = createServer(async (request, response) => {
    const sent = await buffer(request);
    const body = (request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent).toString();
    requests.push(`${request.url ?? ''} ${JSON.stringify(request.headers)} ${body}`);
    events.push(parseEnvelope(body).event);
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port }: AddressInfo = Object(server.address());
  return {
    dsn: `http://0123456789abcdef@127.0.0.1:${port}/1`,
    requests,
    events,
    /** Waits for an event with such a tag. */
    find: (tag: string, value: string) =>
      until(`an event with ${tag} ${value}`, () => events.find(({ tags }) => tags[tag] === value)),
  };
}
