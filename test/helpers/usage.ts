import type { TestDatabase } from './db/test-database.js';

/** Uses to be recorded as if an extension or a chat had caused them. */
export interface Uses {
  /** Whose balance they count against: a person or a device. */
  readonly subject: string;
  /** In whose name they are recorded. */
  readonly user?: string;
  readonly device?: string;
  readonly count: number;
  readonly cost?: number;
  readonly source?: 'device' | 'extension' | 'tracker' | 'chat' | 'api';
  readonly model?: string;
  readonly url?: string;
  /** How many share one point in time; the next are a millisecond later. */
  readonly together?: number;
  /** When the first happened; now by default. */
  readonly at?: string;
}

/** Records uses and debits them, so that the ledger adds up. */
export async function recordUses(database: TestDatabase, uses: Uses): Promise<void> {
  const { subject, count, cost = 0, source = 'extension', model = 'gpt-5', together = 1, at = 'now' } = uses;
  await database.sql(
    `select private.record_usage_events(array_agg(row(
       gen_random_uuid(), b.subject_id, $2::uuid, $3::uuid, $4, 'unknown', $5, 1, 10, 20, 30, $6, 'client_reported',
       b.period, $7, $8::timestamptz + n / $9 * interval '1 millisecond', now(), null
     )::public.usage_events))
       from public.balances b, generate_series(0, $10::integer - 1) n where b.subject_id = $1`,
    [subject, uses.user ?? null, uses.device ?? null, source, model, cost, uses.url ?? null, at, together, count],
  );
  await database.sql('update public.balances set used = used + $2 where subject_id = $1', [subject, cost * count]);
}

/** Takes a hold of a person's tokens. */
export async function hold(database: TestDatabase, user: string, amount: number, at = 'now'): Promise<void> {
  await database.sql(
    `with hold as (
       insert into public.reservations (subject_id, amount, model, prompt_count, expires_at, created_at)
       values ($1, $2, 'gpt-5', 1, now() + interval '10 minutes', $3) returning amount
     )
     update public.balances set reserved = reserved + $2 where subject_id = $1`,
    [user, amount, at],
  );
}
