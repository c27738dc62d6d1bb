import { createDeferred } from '../deferred.js';
import { enter, expectTrouble, fail, inTurn, type Scenario } from './stage.js';

/** What clients show, and do, when something goes wrong. */
export const TROUBLES: Readonly<Record<string, Scenario>> = {
  'a request that upstream refuses is refused once, and free': async (t, stage, isStreaming) => {
    const { server, client } = stage;
    const { ask, readUsed, requests } = await enter(stage);
    server.upstream.answer(fail(400, { code: 'context_length_exceeded', message: 'secret words of upstream' }));
    const shown = await expectTrouble(t, client, 'refused', (retries) => ask({ isStreaming, ...retries }));
    t.notMatch(JSON.stringify(shown), /secret words/);
    t.equal(requests().length, 1, 'it was not tried again');
    t.equal(await readUsed(), 0);
  },

  'upstream fails before it answers, which is free': async (t, stage, isStreaming) => {
    const { server, client } = stage;
    const { ask, readUsed } = await enter(stage);
    server.upstream.answer(fail(500, { code: 500, message: 'secret words of upstream' }));
    const shown = await expectTrouble(t, client, 'failed', () => ask({ isStreaming, maxRetries: 0 }));
    t.notMatch(JSON.stringify(shown), /secret words/);
    t.equal(await readUsed(), 0);
  },

  'upstream takes the request and breaks off: it is paid for once': async (t, stage, isStreaming) => {
    const { server, client } = stage;
    const { ask, readUsed, requests } = await enter(stage);
    server.upstream.answer((response) => void response.destroy());
    await expectTrouble(t, client, 'lost', (retries) => ask({ isStreaming, ...retries }));
    t.equal(requests().length, 1, 'it was not tried again');
    t.ok((await readUsed()) > 1_000, 'what was held is billed');
  },

  'a rate limit is waited for as upstream asks, and then answered': async (t, stage, isStreaming) => {
    const { server, wire } = stage;
    const { ask, readUsed, requests } = await enter(stage);
    const limit = fail(429, { code: 429, message: 'slow down' }, { 'retry-after': '1' });
    server.upstream.answer(inTurn(limit, wire.tell({ pieces: ['Hello!'] })));
    t.match(await ask({ isStreaming }), { text: 'Hello!' });
    t.equal(requests().length, 2);
    t.equal(await readUsed(), 20);
  },

  'an empty balance is known for what it is': async (t, stage, isStreaming) => {
    const { client } = stage;
    const { ask, requests } = await enter(stage, 0);
    await expectTrouble(t, client, 'empty balance', (retries) => ask({ isStreaming, ...retries }));
    t.equal(requests().length, 0, 'nothing reached upstream');
  },

  'a bad key is known for what it is': async (t, { client, server, baseUrl }, isStreaming) => {
    const before = server.upstream.requests.length;
    const { ask } = client.connect(baseUrl, 'tlk_nobody');
    await expectTrouble(t, client, 'bad key', (retries) => ask({ isStreaming, ...retries }));
    t.equal(server.upstream.requests.length, before);
  },

  'an error after half an answer is shown, and what had come is billed': async (t, stage, isStreaming) => {
    const { server, client, wire } = stage;
    const { ask, readUsed, requests } = await enter(stage);
    server.upstream.answer(wire.failAfter(['Hello, ', 'dear '], 12, 3));
    let text = '';
    const shown = await expectTrouble(t, client, 'failed in the stream', (retries) =>
      ask({
        isStreaming,
        onText: (piece) => {
          text += piece;
        },
        ...retries,
      }),
    );
    if (isStreaming) t.equal(text, 'Hello, dear ');
    t.notMatch(JSON.stringify(shown), /secret words/);
    t.equal(requests().length, 1, 'it was not tried again');
    t.equal(await readUsed(), 15);
  },

  'what the user stops is paid for as far as it came': async (t, stage, isStreaming) => {
    const { server, client, wire } = stage;
    const { ask, readUsed, settled } = await enter(stage);
    const stopping = new AbortController();
    const stopped = createDeferred();
    server.upstream.answer(async (response, request) => {
      if (isStreaming) wire.begin(response, 'Hello');
      else stopping.abort();
      await stopped.promise;
      if (isStreaming) response.end(wire.rest);
      else await wire.tell({ pieces: ['Hello'] })(response, request);
    });
    await expectTrouble(t, client, 'aborted', (retries) =>
      ask({ isStreaming, signal: stopping.signal, onText: () => stopping.abort(), ...retries }),
    );
    // A stream ends upstream as well where that ends the billing; everything else goes on.
    const ends = isStreaming && wire.endsBilling;
    if (ends) await settled(1);
    stopped.resolve();
    await settled(1);
    const used = await readUsed();
    if (ends) t.ok(used > 0 && used < 1_000, `${used} were used`);
    else t.equal(used, 20, 'upstream went on to the end');
  },
};
