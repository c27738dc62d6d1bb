create or replace trigger ledger_entries_append_only
  before update or delete or truncate on public.ledger_entries
  for each statement execute function private.refuse_change();

create or replace trigger balances_pay_debt
  before update on public.balances
  for each row when (new.debt > 0) execute function private.pay_debt();

-- What changes in months that are over is noted, so that their seals stay right. The conditions keep the notes away from
-- what is written every day: a month is sealed a day after its end at the earliest.
create or replace trigger mark_changed_events
  after insert on public.usage_events
  for each row when (new.occurred_at < clock_timestamp() - interval '24 hours')
  execute function private.mark_changed_event();
create or replace trigger mark_changed_events_later
  after update or delete on public.usage_events
  for each row execute function private.mark_changed_event();

create or replace trigger mark_changed_rollups
  after insert on public.usage_rollups
  for each row when (new.bucket < clock_timestamp() - interval '24 hours')
  execute function private.mark_changed_rollup();
create or replace trigger mark_changed_rollups_update
  after update on public.usage_rollups
  for each row when (least(old.bucket, new.bucket) < clock_timestamp() - interval '24 hours')
  execute function private.mark_changed_rollup();
create or replace trigger mark_changed_rollups_later
  after delete on public.usage_rollups
  for each row execute function private.mark_changed_rollup();
create or replace trigger mark_changed_rollups_all
  after truncate on public.usage_rollups
  for each statement execute function private.break_seals();
create or replace trigger mark_changed_events_all
  after truncate on public.usage_events
  for each statement execute function private.break_seals();

create or replace trigger mark_changed_generations
  after update on public.generations
  for each row when (
    old.provenance is not null and (
      old.id, old.subject_id, old.input_tokens, old.output_tokens, old.uncollected, old.input_weight, old.output_weight
    ) is distinct from (
      new.id, new.subject_id, new.input_tokens, new.output_tokens, new.uncollected, new.input_weight, new.output_weight
    )
  )
  execute function private.mark_changed_generation();
create or replace trigger mark_changed_generations_later
  after delete on public.generations
  for each row execute function private.mark_changed_generation();
create or replace trigger mark_changed_reservations
  after update on public.reservations
  for each row when (
    old.closed_at is not null
    and (old.id, old.subject_id, old.status, old.closed_at) is distinct from (new.id, new.subject_id, new.status, new.closed_at)
  )
  execute function private.mark_changed_reservation();
create or replace trigger mark_changed_corrections
  after insert on public.ledger_entries
  for each row when (new.kind = 'correction')
  execute function private.mark_changed_correction();
