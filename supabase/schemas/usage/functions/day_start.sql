create or replace function public.day_start(p_day date, p_time_zone text)
returns timestamptz
language sql stable set search_path = ''
as $$
  -- Where clocks are set back over midnight the day begins at the first of two midnights; Postgres names the second.
  select min(m.moment)
    from (
      select (p_day::timestamp at time zone p_time_zone) - n * interval '15 minutes' as moment
        from generate_series(0, 8) n
    ) m
   where m.moment at time zone p_time_zone >= p_day::timestamp
$$;
grant execute on function public.day_start(date, text) to authenticated;
comment on function public.day_start(date, text) is 'Returns the first moment of a day in a time zone, to the quarter hour.';
