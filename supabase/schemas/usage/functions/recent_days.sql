create or replace function private.recent_days(p_days integer)
returns table (day date, starts timestamptz, ends timestamptz, is_summed boolean)
language sql stable set search_path = ''
as $$
  select (d.starts at time zone 'UTC')::date, d.starts, d.starts + interval '1 day', exists (
           select from private.summed_days s
            where s.day = (d.starts at time zone 'UTC')::date and s.summed_at is not null
              and not exists (select from private.changed_days c where c.day = s.day)
         )
    from generate_series(
      date_trunc('day', now(), 'UTC') - make_interval(days => p_days - 1), date_trunc('day', now(), 'UTC'), interval '1 day'
    ) d(starts)
$$;
comment on function private.recent_days(integer) is
  'Returns the last so many days (UTC), today last, and whether daily_usage may be used for them.';
