-- What is not known any more is settled at what was noted of it, and a little more, as something may have come since the
-- last note: a running stream is noted every 512 tokens, so that with half of them neither side is out by more than the
-- other half. Answers that come whole are not noted, and upstream finishes and bills them whatever happens here: they
-- are settled at the whole hold. So is what runs still, when its account ends.
create or replace function private.settle_lost_generations(
  p_subjects uuid[], p_expired_by timestamptz, p_except uuid[] default '{}'
)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_allowance constant bigint := 256;
  v_lost record;
  v_generation public.generations;
  v_seen bigint;
  v_held numeric;
  v_output bigint;
  v_events public.usage_events[] := '{}';
begin
  for v_lost in
    select r.id, r.amount, r.expires_at from public.reservations r
     where r.subject_id = any (p_subjects) and r.status = 'held' and r.expires_at <= p_expired_by
       and r.id <> all (p_except)
     order by r.id
  loop
    select g.* into v_generation from public.generations g where g.id = v_lost.id;
    continue when not found;
    v_seen := coalesce(v_generation.output_seen, 0);
    v_held := v_lost.amount - v_generation.input_estimate * v_generation.input_weight;
    v_output := case
      when v_generation.streamed and v_lost.expires_at <= now()
        then private.affordable_tokens(v_seen + v_allowance, v_held, v_generation.output_weight)
      when v_generation.output_weight > 0 then floor(v_held / v_generation.output_weight)
      else 0
    end;
    v_events := v_events || private.close_generation(
      v_generation, 'lost', 'estimated', coalesce(v_generation.input_seen, v_generation.input_estimate),
      greatest(v_output, v_seen)
    );
  end loop;
  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  return cardinality(v_events);
end
$$;
comment on function private.settle_lost_generations(uuid[], timestamptz, uuid[]) is
  'Settles generations whose server went away, except those given: streams at what was noted of them and up to 256 tokens more, answers that come whole, and what runs still, at their holds. Returns how many. The balances must be locked by the caller.';
