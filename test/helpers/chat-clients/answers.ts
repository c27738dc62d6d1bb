import { MODEL } from './chat-client.js';
import { enter, inTurn, type Scenario } from './stage.js';

/** A PNG of one pixel. */
const IMAGE =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
/** What clients show when all is well. */
export const ANSWERS: Readonly<Record<string, Scenario>> = {
  'an answer is shown and billed': async (t, stage, isStreaming) => {
    const { server, wire } = stage;
    const { ask, readUsed, requests } = await enter(stage);
    server.upstream.answer(wire.tell({ pieces: ['Hel', 'lo', '!'] }));
    const pieces: string[] = [];
    const reply = await ask({ isStreaming, onText: (text) => pieces.push(text) });
    t.match(reply, { text: 'Hello!', finishReason: 'stop', usage: { input: 12, output: 8 } });
    if (isStreaming) t.strictSame(pieces.filter(Boolean), ['Hel', 'lo', '!'], 'it came in pieces');
    t.match(requests(), [{ body: { model: MODEL, stream: isStreaming } }]);
    t.equal(await readUsed(), 20);
  },

  'a tool is called, and its result goes back': async (t, stage, isStreaming) => {
    const { server, wire } = stage;
    const { ask, readUsed, requests } = await enter(stage);
    server.upstream.answer(inTurn(wire.callTool(40, 9), wire.tell({ pieces: ['It is ', 'warm.'] }, 60, 5)));
    const reply = await ask({ isStreaming, hasTool: true });
    t.match(reply, { text: 'It is warm.', toolCalls: [{ name: 'weather', input: { city: 'Rome' } }] });
    const [first, second] = requests();
    t.match(first?.body, { tools: [wire.request.tool] });
    const sent = second?.body[wire.request.items];
    t.match(Array.isArray(sent) ? sent.slice(-2) : [], wire.request.toolResult);
    t.equal(requests().length, 2);
    t.equal(await readUsed(), 114);
  },

  'a picture goes along': async (t, stage, isStreaming) => {
    const { server, wire } = stage;
    const { ask, readUsed, requests } = await enter(stage);
    server.upstream.answer(wire.tell({ pieces: ['A dot.'] }, 300, 4));
    t.match(await ask({ isStreaming, image: IMAGE }), { text: 'A dot.' });
    const [{ body } = { body: {} }] = requests();
    t.match(JSON.stringify(body), wire.request.toImage(IMAGE));
    t.equal(await readUsed(), 304);
  },

  'an answer has the shape that was asked for': async (t, stage, isStreaming) => {
    const { server, wire } = stage;
    const { ask, readUsed, requests } = await enter(stage);
    server.upstream.answer(wire.tell({ pieces: ['{"city":"Rome",', '"degrees":21}'] }, 90, 8));
    const reply = await ask({ isStreaming, isStructured: true });
    t.strictSame(reply.object, { city: 'Rome', degrees: 21 });
    const schema = { properties: { city: { type: 'string' }, degrees: { type: 'number' } } };
    t.match(requests(), [{ body: wire.request.structured(schema) }]);
    t.equal(await readUsed(), 98);
  },

  'what the model thought is shown where the client can': async (t, stage, isStreaming) => {
    const { server, client, wire } = stage;
    const { ask, readUsed } = await enter(stage);
    server.upstream.answer(wire.tell({ pieces: ['Hello!'], thoughts: ['They greet', ' me.'] }));
    const reply = await ask({ isStreaming });
    t.equal(reply.text, 'Hello!');
    t.equal(reply.reasoning, client.showsReasoning ? 'They greet me.' : undefined);
    t.equal(await readUsed(), 20);
  },
};
