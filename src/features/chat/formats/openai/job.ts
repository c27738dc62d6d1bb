import type { FastifyRequest } from 'fastify';
import { getUser } from '../../../../auth/guards/user-guard.js';
import { parseIdempotencyKey } from '../../../../metering/idempotency-key.js';
import type { Codec } from '../../codec.js';
import type { ChatServices } from '../../completion.js';
import type { CompletionJob } from '../../request/completion-job.js';
import { COMMON_EXTRAS, type ExtraChecks, requireTokensOnly } from '../../request/extras.js';

/** What every request in one of OpenAI's formats has. */
interface ReceivedRequest {
  readonly model: string;
  /** Models to fall back on. */
  readonly models?: readonly string[] | null;
  readonly stream?: boolean | null;
}

/**
 * Returns the fields of a request that go upstream. Those that are null are as good as absent, and leave the choice to
 * upstream.
 */
function toUpstreamFields(received: ReceivedRequest, dropped: readonly string[]): Record<string, unknown> {
  const { model: _model, stream: _stream, ...body } = received;
  return Object.fromEntries(Object.entries(body).filter(([name, value]) => value !== null && !dropped.includes(name)));
}

/** What a format has of its own for its requests. */
interface FormatOptions {
  /** Fields that are taken and not passed on. */
  readonly dropped?: readonly string[];
  /** What may cost more than tokens; in the fields that are common to all formats by default. */
  readonly extras?: ExtraChecks;
  readonly createCodec: (model: string) => Codec;
}

/**
 * Returns what is to be done for a request in one of OpenAI's formats.
 * @throws {ApiError} MODEL_NOT_ALLOWED, VALIDATION_FAILED
 */
export function createApiJob(
  chat: ChatServices,
  request: FastifyRequest,
  received: ReceivedRequest & Readonly<Record<string, unknown>>,
  { dropped = [], extras = COMMON_EXTRAS, createCodec }: FormatOptions,
): CompletionJob {
  if (!chat.settings.hasExtras) requireTokensOnly(received, extras);
  const model = chat.models.choose(received.model);
  for (const fallback of received.models ?? []) chat.models.choose(fallback);
  return {
    source: 'api',
    model,
    received,
    body: toUpstreamFields(received, dropped),
    isStreaming: received.stream === true,
    idempotencyKey: parseIdempotencyKey(request, undefined),
    reserve: (reservation) => chat.meter.reserve(getUser(request), reservation),
    codec: createCodec(model),
  };
}
