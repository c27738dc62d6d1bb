create or replace function private.settle_lost_generations(
  p_subjects uuid[], p_expired_by timestamptz, p_except uuid[] default '{}'
)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_lost record;
  v_generation public.generations;
  v_events public.usage_events[] := '{}';
begin
  for v_lost in
    select r.id, r.amount from public.reservations r
     where r.subject_id = any (p_subjects) and r.status = 'held' and r.expires_at <= p_expired_by
       and r.id <> all (p_except)
     order by r.id
  loop
    select g.* into v_generation from public.generations g where g.id = v_lost.id;
    continue when not found;
    v_events := v_events || private.close_generation(
      v_generation, 'lost', 'estimated', v_generation.input_estimate, v_lost.amount - v_generation.input_estimate
    );
  end loop;
  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  return cardinality(v_events);
end
$$;
comment on function private.settle_lost_generations(uuid[], timestamptz, uuid[]) is
  'Settles generations whose server went away at the whole of their holds, except those given; returns how many. The balances must be locked by the caller.';
