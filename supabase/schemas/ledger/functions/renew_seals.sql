-- What came or changed since is proved for the subjects it is about, and goes into the seal. What was changed by hand, or does
-- not add up, stays noted.
create or replace function private.renew_seals(p_limit integer)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_scope record;
  v_seen xid8[];
  v_buckets timestamptz[];
  v_months timestamptz[] := '{}';
  v_renewed integer := 0;
begin
  for v_scope in
    select c.month, c.subject_id, min(m.until) as until, bool_or(m.has_events) as has_events
      from private.changed_usage c
      join private.usage_months() m on m.month = c.month and m.is_sealed
     group by c.month, c.subject_id
    having not bool_or(c.by_hand)
     order by c.month, c.subject_id
     limit p_limit
  loop
    select array_agg(distinct c.changed_by), array_agg(distinct c.bucket) into v_seen, v_buckets
      from private.changed_usage c where c.month = v_scope.month and c.subject_id = v_scope.subject_id;
    continue when v_scope.has_events and (
      (private.compare_rollups(v_scope.month, v_scope.until, v_scope.subject_id)).discrepancies <> '[]'
      or (private.compare_generations(v_scope.month, v_scope.until, v_scope.subject_id)).discrepancies <> '[]'
    );
    delete from private.sealed_events where month = v_scope.month and subject_id = v_scope.subject_id;
    delete from private.sealed_rollups where month = v_scope.month and subject_id = v_scope.subject_id;
    delete from private.sealed_totals where bucket = any (v_buckets);
    insert into private.sealed_events (month, subject_id, period, events, cost, checksum)
    select v_scope.month, e.subject_id, e.period, e.events, e.cost, e.checksum
      from private.hash_events(v_scope.month, v_scope.until, v_scope.subject_id) e where v_scope.has_events;
    insert into private.sealed_rollups (month, subject_id, rollups, tracked_prompts, tracked_tokens, checksum)
    select v_scope.month, r.subject_id, r.rollups, r.tracked_prompts, r.tracked_tokens, r.checksum
      from private.hash_rollups(v_scope.month, v_scope.until, v_scope.subject_id) r;
    insert into private.sealed_totals
    select r.* from private.sum_rollups(v_scope.month, v_scope.until, v_buckets) r;
    delete from private.changed_usage c
     where c.month = v_scope.month and c.subject_id = v_scope.subject_id and c.changed_by = any (v_seen)
       and c.bucket = any (v_buckets);
    v_months := v_months || v_scope.month;
    v_renewed := v_renewed + 1;
  end loop;
  perform private.sum_seal(m) from (select distinct m from unnest(v_months) m) months;
  return v_renewed;
end
$$;
comment on function private.renew_seals(integer) is
  'Proves what changed in sealed months and renews their seals, for so many subjects of a month at most; returns for how many.';
