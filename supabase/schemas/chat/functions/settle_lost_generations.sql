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
  v_balance public.balances;
  v_closed record;
  v_seen bigint;
  v_held numeric;
  v_output bigint;
  v_generations public.generations[] := '{}';
  v_holds public.reservations[] := '{}';
  v_events public.usage_events[] := '{}';
begin
  for v_lost in
    select g as generation, r as hold
      from public.reservations r join public.generations g on g.id = r.id
     where r.subject_id = any (p_subjects) and r.status = 'held' and r.expires_at <= p_expired_by
       and r.id <> all (p_except)
     order by r.id
  loop
    v_seen := coalesce((v_lost.generation).output_seen, 0);
    v_held := (v_lost.hold).amount - (v_lost.generation).input_estimate * (v_lost.generation).input_weight;
    v_output := case
      when (v_lost.generation).streamed and (v_lost.hold).expires_at <= now()
        then private.affordable_tokens(v_seen + v_allowance, v_held, (v_lost.generation).output_weight)
      when (v_lost.generation).output_weight > 0 then floor(v_held / (v_lost.generation).output_weight)
      else 0
    end;
    select b.* into strict v_balance from public.balances b where b.subject_id = (v_lost.hold).subject_id;
    v_closed := private.close_generation(
      v_balance, v_lost.generation, v_lost.hold, 'lost', 'estimated',
      coalesce((v_lost.generation).input_seen, (v_lost.generation).input_estimate), greatest(v_output, v_seen), null
    );
    perform private.write_balances(array[v_closed.balance]);
    v_generations := v_generations || v_closed.generation;
    v_holds := v_holds || v_closed.hold;
    if (v_closed.event).id is not null then
      v_events := v_events || v_closed.event;
    end if;
  end loop;
  if cardinality(v_holds) > 0 then
    perform private.write_closed_generations(v_generations, v_holds, v_events);
  end if;
  return cardinality(v_holds);
end
$$;
comment on function private.settle_lost_generations(uuid[], timestamptz, uuid[]) is
  'Settles generations whose server went away, except those given: streams at what was noted of them and up to 256 tokens more, answers that come whole, and what runs still, at their holds. Returns how many. The balances must be locked by the caller.';
