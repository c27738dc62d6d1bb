import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';

const ChargesSchema = Type.Array(
  Type.Object({ key: Type.String(), windowSeconds: Type.Number(), amount: Type.Number() }),
);
const CountsSchema = Type.Array(Type.Object({ used: Type.Number(), resetsInMs: Type.Number() }));

/** What a worker tells its supervisor. */
const FromWorkerSchema = Type.Union([
  /** It runs, and waits to be told where the database is. */
  Type.Object({ kind: Type.Literal('running') }),
  Type.Object({ kind: Type.Literal('listening'), url: Type.String() }),
  /** It could not start; the message is for the operator. */
  Type.Object({ kind: Type.Literal('failed'), message: Type.String() }),
  /** Charges of several calls, to be counted for all workers. */
  Type.Object({ kind: Type.Literal('charges'), id: Type.Integer(), calls: Type.Array(ChargesSchema) }),
]);
export type FromWorker = Static<typeof FromWorkerSchema>;

/** What a supervisor tells a worker. */
const FromSupervisorSchema = Type.Union([
  Type.Object({
    kind: Type.Literal('start'),
    /** Which of the workers it is, from 1. */
    worker: Type.Integer(),
    /** The embedded database, which only the supervisor knows; never in a variable, which others may read. */
    embedded: Type.Optional(Type.Object({ connectionString: Type.String(), jwtSecret: Type.String() })),
  }),
  /** It is to look for what waits, for all workers. */
  Type.Object({
    kind: Type.Literal('wake'),
    round: Type.Union([
      Type.Literal('mails'),
      Type.Literal('alert-mails'),
      Type.Literal('webhooks'),
      Type.Literal('bulk-changes'),
    ]),
  }),
  /** What stands under the keys of each call's charges. */
  Type.Object({ kind: Type.Literal('counts'), id: Type.Integer(), calls: Type.Array(CountsSchema) }),
]);
export type FromSupervisor = Static<typeof FromSupervisorSchema>;

function createReader<Schema extends TSchema>(schema: Schema): (message: unknown) => Static<Schema> | undefined {
  const compiled = TypeCompiler.Compile(schema);
  return (message) => (compiled.Check(message) ? message : undefined);
}

/** Reads what came over the channel; undefined for what is not ours, as others (PM2) send messages, too. */
export const readFromWorker = createReader(FromWorkerSchema);
export const readFromSupervisor = createReader(FromSupervisorSchema);
