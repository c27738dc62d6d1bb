-- Notes are taken away before anything is read: whoever commits meanwhile leaves a note that stays, and what it stands for is
-- proved again.
create or replace function private.seal_month(p_month timestamptz)
returns boolean
language plpgsql volatile set search_path = ''
as $$
declare
  v_until timestamptz := (p_month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
  v_partition regclass;
  v_faults jsonb;
begin
  select to_regclass('private.' || p.name) into v_partition from private.usage_partitions() p where p.lower_bound = p_month;
  -- Whoever has written to it has not committed, and may have done so before the month was over.
  if exists (
    select from pg_catalog.pg_locks l
     where l.relation = v_partition and l.mode = 'RowExclusiveLock' and l.pid <> pg_backend_pid()
       and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
  ) then
    return false;
  end if;
  delete from private.changed_usage where month = p_month;
  delete from private.sealed_events where month = p_month;
  delete from private.sealed_rollups where month = p_month;
  delete from private.sealed_totals where bucket >= p_month and bucket < v_until;
  delete from private.sealed_months where month = p_month;

  if v_partition is not null then
    v_faults := (private.compare_rollups(p_month, v_until)).discrepancies
      || (private.compare_generations(p_month, v_until)).discrepancies;
    if v_faults <> '[]' then
      insert into private.sealed_months (month, fault)
      values (p_month, jsonb_path_query_array(v_faults, '$[0 to 19]'));
      return true;
    end if;
  end if;
  insert into private.sealed_events (month, subject_id, period, events, cost, checksum)
  select p_month, e.subject_id, e.period, e.events, e.cost, e.checksum
    from private.hash_events(p_month, v_until) e where v_partition is not null;
  insert into private.sealed_rollups (month, subject_id, rollups, tracked_prompts, tracked_tokens, checksum)
  select p_month, r.subject_id, r.rollups, r.tracked_prompts, r.tracked_tokens, r.checksum
    from private.hash_rollups(p_month, v_until) r;
  insert into private.sealed_totals select r.* from private.sum_rollups(p_month, v_until) r;
  insert into private.sealed_months (month, sealed_at, retired_at)
  values (p_month, now(), case when v_partition is null then now() end);
  perform private.sum_seal(p_month);
  return true;
end
$$;
comment on function private.seal_month(timestamptz) is
  'Proves a month that is over and seals it, or notes why it cannot be. Returns false while somebody is writing to it.';
