create or replace function private.write_noted_generations(p_generations public.generations[])
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_generation public.generations;
begin
  if cardinality(p_generations) = 1 then
    v_generation := p_generations[1];
    update public.generations g
       set provider = v_generation.provider, upstream_id = v_generation.upstream_id,
           input_seen = v_generation.input_seen, output_seen = v_generation.output_seen,
           input_floor = v_generation.input_floor, output_floor = v_generation.output_floor
     where g.id = v_generation.id;
    return;
  end if;
  update public.generations g
     set provider = n.provider, upstream_id = n.upstream_id, input_seen = n.input_seen, output_seen = n.output_seen,
         input_floor = n.input_floor, output_floor = n.output_floor
    from unnest(p_generations) n
   where g.id = n.id;
end
$$;
comment on function private.write_noted_generations(public.generations[]) is
  'Writes what note_generation returned, for all of them at once.';
