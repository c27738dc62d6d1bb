import { COMPLETION_CODEC } from '../../../src/features/chat/formats/openai/codec.js';
import { openChatServer, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import { createDeferred } from '../../helpers/deferred.js';
import { completion, whole } from '../../helpers/fakes/openrouter.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const REMOTE = 20_000;
const base64 = (bytes: string | Buffer) => Buffer.from(bytes).toString('base64');
const dataUrl = (type: string, bytes: string | Buffer) => `data:${type};base64,${base64(bytes)}`;

function png(width: number, height: number, padding = 0): Buffer {
  const bytes = Buffer.alloc(24 + padding);
  bytes.write('\x89PNG\r\n\x1a\n', 'latin1');
  bytes.write('IHDR', 12, 'latin1');
  bytes.writeUInt32BE(width, 16);
  bytes.writeUInt32BE(height, 20);
  return bytes;
}

function gif(width: number, height: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.write('GIF89a', 'latin1');
  bytes.writeUInt16LE(width, 6);
  bytes.writeUInt16LE(height, 8);
  return bytes;
}

function jpeg(width: number, height: number): Buffer {
  const start = Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 1, 0xff, 0xc0, 0, 17, 8, 0, 0, 0, 0, 3]);
  start.writeUInt16BE(height, 13);
  start.writeUInt16BE(width, 15);
  return start;
}

function webp(width: number, height: number): Buffer {
  const bytes = Buffer.alloc(30);
  bytes.write('RIFF\0\0\0\0WEBPVP8X', 'latin1');
  bytes.writeUIntLE(width - 1, 24, 3);
  bytes.writeUIntLE(height - 1, 27, 3);
  return bytes;
}

function wav(seconds: number, bytesPerSecond: number): Buffer {
  const bytes = Buffer.alloc(44 + seconds * bytesPerSecond);
  bytes.write('RIFF\0\0\0\0WAVEfmt ', 'latin1');
  bytes.writeUInt32LE(bytesPerSecond, 28);
  return bytes;
}

const mp3 = (length: number) => Buffer.concat([Buffer.from([0xff, 0xfb, 0x90, 0]), Buffer.alloc(length)]);
const pdf = (pages: number, padding = 0) =>
  Buffer.from(`%PDF-1.4\n/Type /Pages\n${'<< /Type /Page >>\n'.repeat(pages)}${' '.repeat(padding)}`);
const TEXT = 'word '.repeat(108_000);
const file = (data: string) => ({ type: 'file', file: { filename: 'x', file_data: data } });
const image = (url: string, fields = {}) => ({ type: 'image_url', image_url: { url, ...fields } });

/** Parts of a message, and the fewest and most tokens that are held for what is in them. */
const PARTS: readonly (readonly [name: string, part: object, least: number, most: number])[] = [
  ['540 KB of text as a file', file(dataUrl('text/plain', TEXT)), 180_000, 180_000],
  ['text as a file without a type', file(`data:;base64,${base64(TEXT)}`), 180_000, 180_000],
  ['text as a file that is only base64', file(base64(TEXT)), 180_000, 180_000],
  ['text as a file that is percent-encoded', file(`data:text/plain,${'%20'.repeat(30_000)}`), 10_000, 10_000],
  ['text that is said to be a picture', image(dataUrl('image/png', TEXT)), 180_000, 180_000],
  [
    'text that is said to be a video',
    { type: 'video_url', video_url: { url: dataUrl('video/mp4', TEXT) } },
    180_000,
    180_000,
  ],
  ['text that begins like a picture', file(dataUrl('text/plain', `GIF89a${TEXT}`)), 180_000, 180_003],
  ['base64 that hides behind padding', file(`data:text/plain;base64,AA==${base64(TEXT)}`), 180_000, 250_000],
  ['a data URL in capitals', file(`DATA:text/plain;charset=utf-8;BASE64,${base64(TEXT)}`), 180_000, 180_000],
  ['a document of unknown kind', file(dataUrl('application/msword', Buffer.alloc(30_000))), 10_000, 10_000],
  ['JSON as a file', file(dataUrl('application/json', `{"a":"${TEXT}"}`)), 180_000, 180_010],
  ['a drawing in SVG', image(dataUrl('image/svg+xml', `<svg>${TEXT}</svg>`)), 180_000, 180_010],

  ['a picture of 1024 × 1024', image(dataUrl('image/png', png(1_024, 1_024, 500_000))), 1_399, 1_399],
  ['a picture of 1024 × 768, as a GIF', image(dataUrl('image/gif', gif(1_024, 768))), 1_049, 1_049],
  ['a picture of 1024 × 768, as a JPEG', image(dataUrl('image/jpeg', jpeg(1_024, 768))), 1_049, 1_049],
  ['a picture of 1024 × 768, as WebP', image(dataUrl('image/webp', webp(1_024, 768))), 1_049, 1_049],
  ['a small picture', image(dataUrl('image/png', png(16, 16))), 258, 258],
  ['a huge picture', image(dataUrl('image/png', png(20_000, 20_000))), 5_000, 5_000],
  ['a picture whose size cannot be read', image(dataUrl('image/tiff', Buffer.alloc(50))), 5_000, 5_000],
  [
    'a large picture looked at in low detail',
    image(dataUrl('image/png', png(4_000, 4_000)), { detail: 'low' }),
    258,
    258,
  ],
  ['a picture under a name of its own', { type: 'x', snap: dataUrl('image/png', png(1_024, 1_024)) }, 1_399, 1_399],
  [
    'an answer’s own picture, sent back',
    { type: 'x', images: [image(dataUrl('image/png', png(1_024, 1_024)))] },
    1_399,
    1_399,
  ],

  [
    'ten seconds of sound',
    { type: 'input_audio', input_audio: { data: base64(wav(10, 48_000)), format: 'wav' } },
    320,
    330,
  ],
  [
    'a minute of sound, compressed',
    { type: 'input_audio', input_audio: { data: base64(mp3(960_000)), format: 'mp3' } },
    1_920,
    15_400,
  ],
  ['raw sound', { type: 'input_audio', input_audio: { data: base64(Buffer.alloc(48_000)), format: 'pcm16' } }, 32, 800],
  [
    'hours of sound',
    { type: 'audio_url', audio_url: { url: dataUrl('audio/mpeg', mp3(9_000_000)) } },
    120_000,
    120_000,
  ],
  [
    'a video',
    {
      type: 'video_url',
      video_url: {
        url: dataUrl('video/mp4', Buffer.concat([Buffer.from('\0\0\0\x20ftypisom'), Buffer.alloc(312_500)])),
      },
    },
    2_900,
    3_000,
  ],

  ['a PDF of two pages', file(dataUrl('application/pdf', pdf(2))), 6_000, 6_000],
  ['a PDF with no page in sight', file(dataUrl('application/pdf', pdf(0, 40_000))), 30_000, 33_000],
  ['a huge PDF', file(dataUrl('application/pdf', pdf(900))), 300_000, 300_000],
  [
    'Anthropic’s form of a document',
    { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: base64(pdf(2)) } },
    6_000,
    6_000,
  ],

  ['a picture by its address', image('https://example.com/a.png'), 5_000, 5_000],
  [
    'a picture by its address, without an object',
    { type: 'image_url', image_url: 'https://example.com/a.png' },
    5_000,
    5_000,
  ],
  ['a file by its address', file('https://example.com/a.pdf'), REMOTE, REMOTE],
  ['a video by its address', { type: 'video_url', video_url: { url: 'https://example.com/v' } }, REMOTE, REMOTE],
  ['a file in somebody’s bucket', file('gs://bucket/a.pdf'), REMOTE, REMOTE],
  [
    'frames of a video by their addresses',
    { type: 'video', video: ['https://example.com/1.png', 's3://bucket/2.png'] },
    2 * REMOTE,
    2 * REMOTE,
  ],
  ['files that upstream has', { type: 'files', file_ids: ['file-1', 'file-2'] }, 2 * REMOTE, 2 * REMOTE],
  [
    'frames of a video as data',
    { type: 'video', video: [1, 2].map((size) => dataUrl('image/png', png(size * 750, 1_000))) },
    3_000,
    3_000,
  ],
  ['addresses in a list of texts', { type: 'text', text: ['https://example.com'] }, 7, 7],
  ['a file that upstream has', { type: 'file', file: { file_id: 'file-1' } }, REMOTE, REMOTE],

  ['text', { type: 'text', text: TEXT }, 180_000, 180_000],
  ['an address in text', { type: 'text', text: 'https://example.com' }, 7, 7],
  ['a data URL in text', { type: 'text', text: dataUrl('text/plain', TEXT) }, 240_000, 240_010],
];

t.test('a part is held for by what is in it', async (t) => {
  const estimate = (content: readonly object[]) =>
    COMPLETION_CODEC.estimatePrompt({ messages: [{ role: 'user', content }] }, REMOTE).tokens;
  const empty = estimate([]);
  for (const [name, part, least, most] of PARTS) {
    const tokens = estimate([part]) - empty;
    t.ok(tokens >= least && tokens <= most + 40, `${name}: ${tokens}`);
  }
});

t.test('what a model is told that it may answer is held for', async (t) => {
  const prediction = { type: 'content', content: TEXT };
  t.ok(COMPLETION_CODEC.estimatePrompt({ messages: [], prediction }, REMOTE).tokens >= 180_000);
});

t.test('20 MiB are looked through in less time than a model takes to begin', async (t) => {
  const content = [file(dataUrl('application/pdf', Buffer.alloc(15_000_000, '%PDF-1.4 /Type /Pag ')))];
  // What the processor does, as others may keep it from doing so.
  const start = process.cpuUsage();
  COMPLETION_CODEC.estimatePrompt({ messages: [{ role: 'user', content }] }, REMOTE);
  const elapsedMs = process.cpuUsage(start).user / 1_000;
  t.ok(elapsedMs < 1_000, `${elapsedMs} ms`);
});

const server = await openChatServer(t, { environment: { CHAT_REMOTE_TOKENS: '4000' } });
const ask = (parts: readonly object[]) => ({
  model: 'openai/gpt-4',
  max_tokens: 10,
  messages: [{ role: 'user', content: parts }],
});

t.test('five large files at once cannot leave a debt', async (t) => {
  const user = await userWith(server, 10_000);
  server.upstream.answer(whole(completion(148_000, 2)));
  const asked = server.upstream.requests.length;
  const body = ask([file(dataUrl('text/plain', TEXT))]);
  const answers = await Promise.all(Array.from({ length: 5 }, () => user.as('POST', '/v1/chat/completions', body)));
  t.strictSame(
    answers.map(({ statusCode }) => statusCode),
    [429, 429, 429, 429, 429],
  );
  t.equal(server.upstream.requests.length, asked, 'none of them reached upstream');
  t.strictSame(await readBalance(server, user), { allocated: 10_000, used: 0, reserved: 0, debt: 0 });
  await server.verifyLedger(t);
});

t.test('CHAT_REMOTE_TOKENS is held for what is only named', async (t) => {
  const user = await userWith(server, 100_000);
  const released = createDeferred();
  server.upstream.answer(async (response, request) => {
    await released.promise;
    await whole(completion())(response, request);
  });
  const answer = user.as('POST', '/v1/chat/completions', ask([file('https://example.com/a.pdf')]));
  await untilTrue(async () => (await readBalance(server, user)).reserved > 4_000);
  const { reserved } = await readBalance(server, user);
  released.resolve();
  t.ok(reserved < 4_100, `${reserved} are held`);
  t.equal((await answer).statusCode, 200);
  t.match(await readGenerations(server, user), [{ status: 'settled', input_tokens: 12 }]);
  await server.verifyLedger(t);
});

t.test('more than is left for a picture by its address is refused in contract 4 as well', async (t) => {
  const user = await userWith(server, 3_000);
  const messages = [{ role: 'user', content: [image('https://example.com/a.png')] }];
  t.equal((await user.as('POST', '/api/chat/stream', { messages })).statusCode, 403);
  await server.verifyLedger(t);
});

t.end();
