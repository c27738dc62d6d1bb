import { type Static, Type } from '@sinclair/typebox';

/** The variables about a standby that may be read instead of the database. */
export const ReadReplica = {
  DATABASE_READ_URL: Type.Optional(
    Type.String({
      pattern: '^postgres(ql)?://',
      description:
        'A standby of the database (read replica), from which dashboards, summaries, files and ledgers are read as far as it keeps up. See docs/operations.md.',
    }),
  ),
  DATABASE_READ_MAX_LAG: Type.Integer({
    default: 5_000,
    minimum: 0,
    maximum: 3_600_000,
    description:
      'Milliseconds by which what is read from the standby may be behind; beyond them the database itself is read. 0: only what is as new.',
  }),
  DATABASE_READ_POOL_SIZE: Type.Integer({
    default: 6,
    minimum: 1,
    maximum: 1_000,
    description: 'Most connections to the standby, of all processes of this machine together.',
  }),
};

const ReadReplicaSchema = Type.Object(ReadReplica);

/** Returns which standby is read; undefined where there is none. */
export function toReadReplicaConfig(environment: Static<typeof ReadReplicaSchema>) {
  const connectionString = environment.DATABASE_READ_URL;
  if (connectionString === undefined) return undefined;
  return {
    connectionString,
    /** In milliseconds. */
    maxLag: environment.DATABASE_READ_MAX_LAG,
    poolSize: environment.DATABASE_READ_POOL_SIZE,
  };
}
