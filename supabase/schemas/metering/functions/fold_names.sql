-- Names come from clients, and each is a row of every summary: only so many of a subject and day are kept apart.
create or replace function private.fold_names(p_events public.usage_events[])
returns public.usage_events[]
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_event public.usage_events;
  v_position integer;
  v_is_full boolean;
begin
  -- Nearly always: no name is new.
  if cardinality(p_events) = 1 then
    v_event := p_events[1];
    perform from private.rollup_names n
      where n.subject_id = v_event.subject_id and n.day = (v_event.occurred_at at time zone 'UTC')::date
        and n.provider = v_event.provider and n.model = v_event.model;
    if found then
      return p_events;
    end if;
  elsif not exists (
    select from unnest(p_events) e
     where (
       select true from private.rollup_names n
        where n.subject_id = e.subject_id and n.day = (e.occurred_at at time zone 'UTC')::date
          and n.provider = e.provider and n.model = e.model limit 1
     ) is null
  ) then
    return p_events;
  end if;

  -- One at a time for a subject and day: whoever was here before has left its names.
  perform pg_advisory_xact_lock(hashtextextended('rollup_names ' || s.subject_id || s.day, 0))
    from (
      select distinct e.subject_id, (e.occurred_at at time zone 'UTC')::date as day
        from unnest(p_events) e
       where (
         select true from private.rollup_names n
          where n.subject_id = e.subject_id and n.day = (e.occurred_at at time zone 'UTC')::date
            and n.provider = e.provider and n.model = e.model limit 1
       ) is null
       order by 1, 2
    ) s;
  with fresh as (
    select e.subject_id, (e.occurred_at at time zone 'UTC')::date as day, e.provider, e.model,
           row_number() over (
             partition by e.subject_id, (e.occurred_at at time zone 'UTC')::date order by min(e.ordinality)
           ) as nth
      from unnest(p_events) with ordinality as e
     where (
       select true from private.rollup_names n
        where n.subject_id = e.subject_id and n.day = (e.occurred_at at time zone 'UTC')::date
          and n.provider = e.provider and n.model = e.model limit 1
     ) is null
     group by 1, 2, 3, 4
  ), judged as (
    select f.*, f.nth + (
             select count(*) from private.rollup_names n where n.subject_id = f.subject_id and n.day = f.day
           ) <= private.rollup_name_limit() as fits
      from fresh f
  ), noted as (
    insert into private.rollup_names (subject_id, day, provider, model)
    select j.subject_id, j.day, j.provider, j.model from judged j where j.fits
  )
  select not bool_and(j.fits) into v_is_full from judged j;

  if v_is_full then
    for v_position in 1 .. cardinality(p_events) loop
      p_events[v_position] := private.rolled_up_as(p_events[v_position]);
    end loop;
  end if;
  return p_events;
end
$$;
comment on function private.fold_names(public.usage_events[]) is
  'Notes the providers and models that are new for a subject and day as long as there is room, and returns the events as rolled_up_as does.';
