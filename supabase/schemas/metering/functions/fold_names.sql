-- Names come from clients, and each is a row of every summary: only so many of a subject and day are kept apart.
create or replace function private.fold_names(p_events public.usage_events[])
returns public.usage_events[]
language plpgsql volatile set search_path = ''
as $$
declare
  v_new record;
  v_position integer;
begin
  -- Nearly always: no name is new.
  if not exists (
    select from unnest(p_events) e
     where not exists (
       select from private.rollup_names n
        where n.subject_id = e.subject_id and n.day = (e.occurred_at at time zone 'UTC')::date
          and n.provider = e.provider and n.model = e.model
     )
  ) then
    return p_events;
  end if;
  for v_new in
    select e.subject_id, (e.occurred_at at time zone 'UTC')::date as day
      from unnest(p_events) e
     where not exists (
       select from private.rollup_names n
        where n.subject_id = e.subject_id and n.day = (e.occurred_at at time zone 'UTC')::date
          and n.provider = e.provider and n.model = e.model
     )
     group by 1, 2
     order by 1, 2
  loop
    -- One at a time: whoever was here before has left its names.
    perform pg_advisory_xact_lock(hashtextextended('rollup_names ' || v_new.subject_id || v_new.day, 0));
    insert into private.rollup_names (subject_id, day, provider, model)
    select v_new.subject_id, v_new.day, e.provider, e.model
      from unnest(p_events) with ordinality as e
     where e.subject_id = v_new.subject_id and (e.occurred_at at time zone 'UTC')::date = v_new.day
       and not exists (
         select from private.rollup_names n
          where n.subject_id = e.subject_id and n.day = v_new.day and n.provider = e.provider and n.model = e.model
       )
     group by e.provider, e.model
     order by min(e.ordinality)
     limit greatest(private.rollup_name_limit() - (
       select count(*) from private.rollup_names n where n.subject_id = v_new.subject_id and n.day = v_new.day
     ), 0);
  end loop;
  for v_position in 1 .. cardinality(p_events) loop
    p_events[v_position] := private.rolled_up_as(p_events[v_position]);
  end loop;
  return p_events;
end
$$;
comment on function private.fold_names(public.usage_events[]) is
  'Notes the providers and models that are new for a subject and day as long as there is room, and returns the events as rolled_up_as does.';
