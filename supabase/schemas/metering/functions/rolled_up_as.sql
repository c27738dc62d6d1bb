-- Names are only ever added until there are enough: what was counted as other once is so for good.
create or replace function private.rolled_up_as(p_event public.usage_events)
returns public.usage_events
language plpgsql stable set search_path = ''
as $$
declare
  v_day date := (p_event.occurred_at at time zone 'UTC')::date;
begin
  if not exists (
       select from private.rollup_names n
        where n.subject_id = p_event.subject_id and n.day = v_day
          and n.provider = p_event.provider and n.model = p_event.model
     )
     and (
       select count(*) from private.rollup_names n where n.subject_id = p_event.subject_id and n.day = v_day
     ) >= private.rollup_name_limit() then
    p_event.provider := 'other';
    p_event.model := 'other';
  end if;
  return p_event;
end
$$;
comment on function private.rolled_up_as(public.usage_events) is
  'Returns an event with the provider and model its rollup has: other where the subject had too many that day.';
