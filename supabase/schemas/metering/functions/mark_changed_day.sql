-- A day is closed a day after its end, so what is written before that needs no note.
create or replace function private.mark_changed_day(p_at timestamptz)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  if p_at < clock_timestamp() - interval '24 hours' then
    insert into private.changed_days (day) values ((p_at at time zone 'UTC')::date) on conflict (day, changed_by) do nothing;
  end if;
end
$$;
comment on function private.mark_changed_day(timestamptz) is 'Notes that rollups of a day changed which may have been summed up already.';
