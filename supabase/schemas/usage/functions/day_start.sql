create or replace function public.day_start(p_day date, p_time_zone text)
returns timestamptz
language plpgsql stable set search_path = ''
as $$
declare
  v_midnight constant timestamp := p_day;
  v_start constant timestamptz := v_midnight at time zone p_time_zone;
begin
  -- Nearly always: no clock was set back shortly before.
  if (v_start - interval '2 hours') at time zone p_time_zone = v_midnight - interval '2 hours' then
    return v_start;
  end if;
  -- Where clocks are set back over midnight the day begins at the first of two midnights; Postgres names the second.
  return (
    select min(m.moment)
      from (select v_start - n * interval '15 minutes' as moment from generate_series(0, 8) n) m
     where m.moment at time zone p_time_zone >= v_midnight
  );
end
$$;
grant execute on function public.day_start(date, text) to authenticated;
comment on function public.day_start(date, text) is 'Returns the first moment of a day in a time zone, to the quarter hour.';
