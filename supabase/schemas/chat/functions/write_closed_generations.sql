create or replace function private.write_closed_generations(
  p_generations public.generations[], p_holds public.reservations[], p_events public.usage_events[]
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_hold public.reservations;
  v_generation public.generations;
begin
  -- One alone is nearly all there is where few people are about, and is written with less.
  if cardinality(p_generations) = 1 then
    v_hold := p_holds[1];
    v_generation := p_generations[1];
    update public.reservations r
       set status = v_hold.status, closed_at = now(), usage_event_id = v_hold.usage_event_id
     where r.id = v_hold.id;
    update public.generations g
       set provenance = v_generation.provenance, input_tokens = v_generation.input_tokens,
           output_tokens = v_generation.output_tokens, provider = v_generation.provider,
           upstream_id = v_generation.upstream_id, input_floor = v_generation.input_floor,
           output_floor = v_generation.output_floor, reconcile_at = v_generation.reconcile_at
     where g.id = v_generation.id;
  else
    update public.reservations r set status = h.status, closed_at = now(), usage_event_id = h.usage_event_id
      from unnest(p_holds) h
     where r.id = h.id;
    update public.generations g
       set provenance = c.provenance, input_tokens = c.input_tokens, output_tokens = c.output_tokens,
           provider = c.provider, upstream_id = c.upstream_id, input_floor = c.input_floor,
           output_floor = c.output_floor, reconcile_at = c.reconcile_at
      from unnest(p_generations) c
     where g.id = c.id;
  end if;
  if cardinality(p_events) > 0 then
    perform private.record_usage_events(p_events);
  end if;
end
$$;
comment on function private.write_closed_generations(
  public.generations[], public.reservations[], public.usage_events[]
) is 'Writes what close_generation returned, for all of them at once.';
