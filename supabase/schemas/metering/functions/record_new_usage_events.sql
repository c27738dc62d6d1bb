-- Ordered, so that calls which bring the same events cannot deadlock.
create or replace function private.record_new_usage_events(p_events public.usage_events[])
returns uuid[]
language plpgsql volatile set search_path = ''
as $$
declare
  v_inserted public.usage_events[];
begin
  perform private.ensure_usage_partitions(p_events);
  perform private.thaw_late_usage(p_events);
  with inserted as (
    insert into public.usage_events
    select e.* from unnest(p_events) e order by e.subject_id, e.occurred_at, e.id
    on conflict do nothing
    returning *
  )
  select coalesce(array_agg(row(i.*)::public.usage_events), '{}') into v_inserted from inserted i;
  perform private.roll_up_usage(v_inserted);
  return array(select i.id from unnest(v_inserted) i);
end
$$;
comment on function private.record_new_usage_events(public.usage_events[]) is
  'Inserts the events that are not there yet and rolls them up; returns their ids.';
