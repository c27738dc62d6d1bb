create or replace function private.named_source(
  p_is_total boolean, p_starts timestamptz[], p_from timestamptz, p_to timestamptz
)
returns text
language plpgsql stable set search_path = ''
as $$
declare
  v_days date[];
  v_split date[];
  v_greater timestamptz[];
  v_lesser tstzrange[];
  v_rest tstzmultirange;
begin
  -- Days that are summed up, where no period begins within one. Where one does, the day's sum is the greater part's, and what
  -- the lesser part adds up to is taken from that. The rest is read by the quarter hour.
  select array_agg(d.day) filter (where d.lesser is null), array_agg(d.day) filter (where d.lesser is not null),
         array_agg(d.greater) filter (where d.lesser is not null), array_agg(d.lesser) filter (where d.lesser is not null),
         tstzmultirange(tstzrange(p_from, p_to)) - coalesce(range_agg(tstzrange(d.starts, d.ends)), '{}'::tstzmultirange)
    into v_days, v_split, v_greater, v_lesser, v_rest
    from (
      select s.*, case when p.start - s.starts > s.ends - p.start then s.starts else p.start end as greater,
             case
               when p.start - s.starts > s.ends - p.start then tstzrange(p.start, s.ends)
               when p.start > s.starts then tstzrange(s.starts, p.start)
             end as lesser,
             width_bucket(s.ends - interval '1 microsecond', p_starts) - width_bucket(s.starts, p_starts) as begun
        from (
          select c.day, c.day::timestamp at time zone 'UTC' as starts, (c.day + 1)::timestamp at time zone 'UTC' as ends
            from private.summed_days c
           where c.summed_at is not null
             and c.day >= (p_from at time zone 'UTC')::date and c.day < (p_to at time zone 'UTC')::date
             and not exists (select from private.changed_days n where n.day = c.day)
        ) s
       cross join lateral (select p_starts[width_bucket(s.ends - interval '1 microsecond', p_starts)] as last) l
       cross join lateral (select case when l.last > s.starts then l.last end as start) p
    ) d
   where d.starts >= p_from and (d.lesser is null or d.begun = 1 and not p_is_total);
  return format(
    $source$
      select d.day::timestamp at time zone 'UTC' as bucket, d.provider, d.model, d.source, d.events, d.prompts,
             d.input_tokens, d.output_tokens, d.total_tokens, d.cost, d.nano_usd
        from private.daily_usage d where d.day = any (%1$L::date[])
      union all
      select x.greater, d.provider, d.model, d.source, d.events, d.prompts, d.input_tokens, d.output_tokens,
             d.total_tokens, d.cost, d.nano_usd
        from unnest(%2$L::date[], %3$L::timestamptz[]) x(day, greater) join private.daily_usage d on d.day = x.day
      union all
      select case when k.factor = 1 then l.bucket else x.greater end, l.provider, l.model, l.source, k.factor * l.events,
             k.factor * l.prompts, k.factor * l.input_tokens, k.factor * l.output_tokens, k.factor * l.total_tokens,
             k.factor * l.cost, k.factor * l.nano_usd
        from unnest(%3$L::timestamptz[], %4$L::tstzrange[]) x(greater, lesser)
       cross join lateral (
         select * from private.quarter_hour_usage q where q.bucket >= lower(x.lesser) and q.bucket < upper(x.lesser) offset 0
       ) l
       cross join (values (1), (-1)) k(factor)
      union all
      select u.bucket, %6$s, u.events, u.prompts, u.input_tokens, u.output_tokens, u.total_tokens, u.cost, u.nano_usd
        from unnest(%5$L::tstzmultirange) x(part)
       cross join lateral (
         select * from %7$s l where l.bucket >= lower(x.part) and l.bucket < upper(x.part) %8$s offset 0
       ) u
    $source$,
    v_days, v_split, v_greater, v_lesser, v_rest,
    -- Totals have no names.
    case when p_is_total then 'null, null, null' else 'u.provider, u.model, u.source' end,
    case when p_is_total then 'public.usage_totals' else 'public.usage_rollups' end,
    case when not p_is_total then 'union all select * from private.unpack_rollups(lower(x.part), upper(x.part))' else '' end
  );
end
$$;
comment on function private.named_source(boolean, timestamptz[], timestamptz, timestamptz) is
  'Returns the SQL of rows (bucket, provider, model, source, sums) that everybody''s use between two times, or with p_is_total what it is altogether, is added up from; none of them is of two periods, whose starts are given.';
