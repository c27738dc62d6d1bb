import { type Answering, whole } from './openrouter.js';

/** Returns upstream's answer to a request for embeddings: one vector for each input. */
export const embeddings = (count: number, usage: unknown = { prompt_tokens: 8, total_tokens: 8 }) => ({
  id: 'gen-e1',
  object: 'list',
  model: 'openai/text-embedding-3-small',
  provider: 'OpenAI',
  data: Array.from({ length: count }, (_, index) => ({ object: 'embedding', index, embedding: [0.5, -0.25, 1] })),
  usage,
});

/** Answers with base64 where it is asked for, as OpenAI does: little-endian floats of 32 bits. */
export const embedding: Answering = (response, request) => {
  const { input, encoding_format: format } = request.body;
  const answer = embeddings(Array.isArray(input) ? input.length : 1);
  if (format !== 'base64') return whole(answer)(response, request);
  const encode = (vector: readonly number[]) => Buffer.from(new Float32Array(vector).buffer).toString('base64');
  const data = answer.data.map((item) => ({ ...item, embedding: encode(item.embedding) }));
  return whole({ ...answer, data })(response, request);
};
