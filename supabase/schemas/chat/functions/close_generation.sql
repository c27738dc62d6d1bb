-- Ends a running generation: its hold goes, its cost is debited, and where that is more than hold and balance together
-- the rest becomes debt. The caller has locked the balance, and records the event that is answered.
create or replace function private.close_generation(
  p_generation public.generations, p_status text, p_provenance text, p_input bigint, p_output bigint,
  p_nano_usd bigint default null
)
returns public.usage_events
language plpgsql volatile set search_path = ''
as $$
declare
  v_cost bigint := private.weighted_tokens(p_generation, p_input, p_output);
  v_held bigint;
  v_period integer;
begin
  update public.reservations r
     set status = p_status, closed_at = now(), usage_event_id = case when p_input + p_output > 0 then r.id end
   where r.id = p_generation.id and r.status = 'held'
  returning r.amount into strict v_held;
  update public.balances b
     set reserved = b.reserved - v_held,
         used = b.used + least(v_cost, b.remaining + v_held),
         debt = b.debt + v_cost - least(v_cost, b.remaining + v_held),
         updated_at = now()
   where b.subject_id = p_generation.subject_id
  returning b.period into strict v_period;
  update public.generations g
     set provenance = p_provenance, input_tokens = p_input, output_tokens = p_output,
         provider = p_generation.provider, upstream_id = p_generation.upstream_id,
         input_floor = p_generation.input_floor, output_floor = p_generation.output_floor,
         reconcile_at = case when p_provenance = 'estimated' and p_generation.upstream_id is not null then now() end
   where g.id = p_generation.id;
  return row(
    p_generation.id, p_generation.subject_id, p_generation.subject_id, null, p_generation.source,
    coalesce(p_generation.provider, 'unknown'), p_generation.model, 1, p_input, p_output, p_input + p_output, v_cost,
    p_provenance, v_period, null, now(), now(),
    private.generation_money(p_generation, p_provenance, p_input, p_output, p_nano_usd)
  )::public.usage_events;
end
$$;
comment on function private.close_generation(public.generations, text, text, bigint, bigint, bigint) is
  'Settles a running generation and returns the usage event to record; the balance must be locked by the caller.';
