import type pg from 'pg';

/** A statement with its parameters, as text. */
export interface Statement {
  readonly text: string;
  readonly values: readonly string[];
  /** Has the connection keep the parsed statement under this name, which stands for this text only. */
  readonly name?: string | undefined;
}

/** Names of the statements each connection keeps. */
const keptStatements = new WeakMap<pg.ClientBase, Set<string>>();

function findKept(client: pg.ClientBase): Set<string> {
  const known = keptStatements.get(client);
  if (known !== undefined) return known;
  const kept = new Set<string>();
  keptStatements.set(client, kept);
  return kept;
}

/** Statements on their way, as the driver takes them: it calls the methods with what Postgres answers. */
class Flight implements pg.Submittable {
  readonly query_timeout: number;
  callback: (error: Error | null) => void;
  /** First column of the last statement's last row. */
  value: string | null = null;
  readonly #statements: readonly Statement[];
  readonly #kept: Set<string>;
  #row: string | null = null;

  constructor(
    statements: readonly Statement[],
    kept: Set<string>,
    timeoutMs: number,
    callback: (error: Error | null) => void,
  ) {
    this.#statements = statements;
    this.#kept = kept;
    this.query_timeout = timeoutMs;
    this.callback = callback;
  }

  submit(connection: pg.Connection): void {
    connection.stream.cork();
    for (const { text, values, name = '' } of this.#statements) {
      if (!this.#kept.has(name)) {
        // It may be there from a try that failed; closing one that is not is no error.
        if (name !== '') connection.close({ type: 'S', name }, true);
        connection.parse({ name, text, types: [] }, true);
      }
      connection.bind({ statement: name, values: [...values] }, true);
      connection.execute(null, true);
    }
    connection.sync();
    connection.stream.uncork();
  }

  handleDataRow({ fields }: { readonly fields: readonly (string | null)[] }): void {
    this.#row = fields[0] ?? null;
  }

  handleCommandComplete(): void {
    this.value = this.#row;
    this.#row = null;
  }

  handleError(error: Error): void {
    this.callback(error);
  }

  handleReadyForQuery(): void {
    for (const { name } of this.#statements) if (name !== undefined) this.#kept.add(name);
    this.callback(null);
  }
}

/**
 * Sends statements in one flight. Unless a transaction is open they are one together: Postgres commits it before it is
 * ready for more, and skips what follows an error (its documentation, "Pipelining").
 *
 * @param timeoutMs longest wait for the answer
 * @returns the first column of the last statement's last row
 * @throws {pg.DatabaseError} what Postgres refuses
 */
export function sendTogether(
  client: pg.ClientBase,
  statements: readonly Statement[],
  timeoutMs: number,
): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const flight = new Flight(statements, findKept(client), timeoutMs, (error) => {
      if (error === null) resolve(flight.value);
      else reject(error);
    });
    client.query(flight);
  });
}
