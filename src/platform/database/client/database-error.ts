/** SQLSTATE of a missing privilege, and those of a role that does not exist. */
const INSUFFICIENT_PRIVILEGE = '42501';
const NO_ROLE: readonly string[] = ['22023', '42704'];
/** The roles a call acts as, in what Postgres says in whichever language. */
const OUR_ROLES = /\b(?:anon|authenticated|service_role)\b/;
/** What is refused with the same SQLSTATE though nothing was taken from the server: a policy, and our triggers of books. */
const REFUSED_ROWS = /row-level security| is append-only: | is not changed by hand: | may be changed by hand in /;

/** Carries the error the Data API answered instead of a result. */
export class DatabaseError extends Error {
  /** HTTP status of the answer, 0 if none came. */
  readonly status: number;
  /** SQLSTATE, or a `PGRST…` code, or empty if no answer came. */
  readonly code: string;
  /** `detail` of the database's error, JSON if our own functions raised it. */
  readonly details: string | null;
  /** Of a connection that failed, the code of the driver or the system, where it is known. */
  readonly hint: string | undefined;

  constructor(answer: {
    readonly status: number;
    readonly code: string;
    readonly message: string;
    readonly details: string | null;
    readonly hint?: string | null;
  }) {
    super(answer.message);
    this.name = 'DatabaseError';
    this.status = answer.status;
    this.code = answer.code;
    this.details = answer.details;
    this.hint = answer.hint ?? undefined;
  }

  /** Builds the error for no answer, or one that is not what the function promises: an outage, never a success. */
  static unexpected(message: string): DatabaseError {
    return new DatabaseError({ status: 0, code: '', message, details: null });
  }

  /** Tells whether the same call may succeed when repeated at once: a serialization failure or a deadlock. */
  get isTransient(): boolean {
    return this.code === '40001' || this.code === '40P01';
  }

  /** Tells whether Postgres refused the data itself (classes 22 and 23), so that nothing was committed. */
  get isInvalidInput(): boolean {
    return /^2[23]/.test(this.code) && !this.deniesServer;
  }

  /**
   * Tells whether the database lacks a role or a grant that the server needs for everything of this kind. It is never the
   * answer to what somebody asked: our functions refuse people with `PTxyz`.
   */
  get deniesServer(): boolean {
    if (this.code === INSUFFICIENT_PRIVILEGE) return !REFUSED_ROWS.test(this.message);
    return NO_ROLE.includes(this.code) && OUR_ROLES.test(this.message);
  }

  /** Tells whether the database takes no writes: it is read-only, or its disk is full. */
  get refusesWrites(): boolean {
    return this.code === '25006' || this.code === '53100';
  }

  /** Tells whether a function, table or column of ours is missing, or was replaced while a call was about to use it. */
  get #lacksSomething(): boolean {
    return /^(42883|42P01|42703|PGRST202)/.test(this.code) || this.message.startsWith('cache lookup failed for ');
  }

  /**
   * Tells whether the database cannot do it now: it cannot be reached, did not finish in time, is short of something, takes
   * no writes, denies the server what it needs, or lacks something of ours for a moment, as between the steps of an update.
   * What it did may be unknown.
   */
  get isUnavailable(): boolean {
    return (
      this.code === '' ||
      this.isTransient ||
      this.refusesWrites ||
      this.deniesServer ||
      /^(08|53|57|58|55P03|PGRST00)/.test(this.code) ||
      this.#lacksSomething ||
      [0, 502, 503, 504].includes(this.status)
    );
  }
}
