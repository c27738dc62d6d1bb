import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { ApiError } from '../errors.js';
import { errors } from '../http/error-schema.js';
import type { Readiness } from './readiness.js';

const tags = ['Health'];
const StatusSchema = Type.Object({ status: Type.String() });
const ReadySchema = Type.Object({
  status: Type.String(),
  read: Type.Optional(
    Type.Union([Type.Literal('replica'), Type.Literal('primary')], {
      description: 'Where reports are read, where a read replica is set up.',
    }),
  ),
  notice: Type.Optional(Type.String({ description: 'What does not work as it should, though requests are answered.' })),
});
/** Returns the schema of a route that says no more than that the process answers. */
export const liveness = (operationId: string) => ({
  tags,
  operationId,
  summary: 'Check that the process answers',
  response: { 200: StatusSchema },
});
const readinessSchema = {
  tags,
  operationId: 'getReadiness',
  summary: 'Check that the server can do its work',
  response: { 200: ReadySchema, ...errors(429, 500, 503) },
};

/** Answers that the process answers. */
export const ALIVE = () => ({ status: 'ok' });

interface HealthOptions {
  readonly readiness: Readiness;
  /** Return what whoever watches the server should know though it is ready. */
  readonly findNotices: readonly (() => string | undefined)[];
  /** Returns where reports are read, where a standby is set up. */
  readonly findSource: () => 'replica' | 'primary' | undefined;
}

/** Serves liveness (the process answers) and readiness (the database does, too). */
export const healthRoutes: FastifyPluginAsyncTypebox<HealthOptions> = async (
  app,
  { readiness, findNotices, findSource },
) => {
  app.get('/healthz', { schema: liveness('getHealth') }, ALIVE);
  app.get('/readyz', { schema: readinessSchema }, async () => {
    const problem = await readiness.problem();
    if (problem !== undefined) throw new ApiError('SERVICE_UNAVAILABLE', { cause: new Error(problem) });
    const notices = findNotices.flatMap((find) => find() ?? []);
    const read = findSource();
    return {
      status: 'ready',
      ...(read !== undefined && { read }),
      ...(notices.length > 0 && { notice: notices.join('; ') }),
    };
  });
};
