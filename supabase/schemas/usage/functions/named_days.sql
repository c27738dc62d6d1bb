-- Days whose sums have the name, or might have counted it as other, and those that are not summed up.
create or replace function private.named_days(p_from timestamptz, p_to timestamptz, p_filter jsonb)
returns tstzmultirange
language sql stable set search_path = ''
as $$
  select tstzmultirange(tstzrange(p_from, p_to)) - coalesce(
           range_agg(tstzrange(s.day::timestamp at time zone 'UTC', (s.day + 1)::timestamp at time zone 'UTC')), '{}'
         )
    from private.summed_days s
   where s.summed_at is not null
     and s.day between (p_from at time zone 'UTC')::date and (p_to at time zone 'UTC')::date
     and not exists (select from private.changed_days c where c.day = s.day)
     and not exists (
       select from private.daily_usage u
        where u.day = s.day
          and (p_filter ->> 'source' is null or u.source = p_filter ->> 'source')
          and (
            (p_filter ->> 'provider' is null or u.provider = p_filter ->> 'provider')
            and (p_filter ->> 'model' is null or u.model = lower(btrim(p_filter ->> 'model')))
            or u.provider = 'other' and u.model = 'other'
          )
     )
$$;
comment on function private.named_days(timestamptz, timestamptz, jsonb) is
  'Returns the days in a range in which anybody may have used a provider, a model and a source.';
