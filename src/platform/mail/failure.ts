/** A delivery that failed, told in words that may be logged. */
export class MailFailure extends Error {
  /**
   * @param details what may be logged: no address, and nothing mail servers say in their own words
   * @param isRefused whether this mail will never be taken, so that another attempt is of no use
   * @param waitSeconds how long the mail service asks to be left alone
   */
  constructor(
    readonly details: Readonly<Record<string, unknown>>,
    readonly isRefused: boolean,
    readonly waitSeconds?: number,
    options?: ErrorOptions,
  ) {
    super('the mail was not delivered', options);
    this.name = 'MailFailure';
  }
}

/** What errors have besides their message, which may quote addresses. */
const REPORTED = ['name', 'code', 'originalCode', 'command', 'responseCode'] as const;

/** Returns what may be logged of any error. */
export function toLoggedDetails(error: unknown): Record<string, unknown> {
  if (error instanceof MailFailure) return error.details;
  if (!(error instanceof Error)) return {};
  const reported = REPORTED.flatMap((name) => (name in error ? [[name, Reflect.get(error, name)]] : []));
  return {
    ...Object.fromEntries(reported),
    ...(error.cause instanceof Error && { cause: toLoggedDetails(error.cause) }),
  };
}
