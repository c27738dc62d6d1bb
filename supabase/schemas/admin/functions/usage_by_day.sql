create or replace function private.usage_by_day(p_days integer)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_agg(
           private.usage_between(day, day + interval '1 day') || jsonb_build_object('day', to_char(day at time zone 'UTC', 'YYYY-MM-DD'))
           order by day
         )
    from generate_series(
      date_trunc('day', now(), 'UTC') - make_interval(days => p_days - 1), date_trunc('day', now(), 'UTC'), interval '1 day'
    ) as day
$$;
comment on function private.usage_by_day(integer) is 'Returns usage of everybody per day (UTC), today last, days without any included.';
