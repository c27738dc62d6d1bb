import Fastify from 'fastify';
import { ApiError, type ErrorCode } from '../../../src/platform/errors.js';
import { answerError } from '../../../src/platform/http/error-handler.js';
import t from '../../helpers/run/tap.js';

/** Answers an error and returns what it says of trying again. */
async function answer(error: ApiError) {
  const app = Fastify();
  app.setErrorHandler(answerError);
  app.get('/', async () => Promise.reject(error));
  const { statusCode, headers } = await app.inject('/');
  return [statusCode, headers['retry-after'], headers['x-should-retry']];
}

t.test('what passes by itself says when to try again', async (t) => {
  const passing: ErrorCode[] = ['SERVICE_UNAVAILABLE', 'SERVER_STOPPING', 'UPSTREAM_UNAVAILABLE'];
  for (const code of passing) t.strictSame(await answer(new ApiError(code)), [503, '1', undefined], code);
});

t.test('what would cost again, or is not set up, does not', async (t) => {
  t.strictSame(await answer(new ApiError('SERVER_STOPPING', { isFinal: true })), [503, undefined, 'false']);
  t.strictSame(await answer(new ApiError('CHAT_DISABLED')), [503, undefined, undefined]);
});
