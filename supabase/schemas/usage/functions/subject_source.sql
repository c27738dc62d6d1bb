create or replace function private.subject_source(
  p_is_named boolean, p_starts timestamptz[], p_from timestamptz, p_to timestamptz
)
returns text
language plpgsql stable set search_path = ''
as $$
declare
  v_days date[];
  v_months date[];
  v_rest tstzmultirange;
begin
  -- Months and days that are summed up, where no period begins within one. Of these there are no names.
  with
  days as materialized (
    select s.*, date_trunc('month', s.day::timestamp)::date as month
      from (
        select c.day, c.day::timestamp at time zone 'UTC' as starts, (c.day + 1)::timestamp at time zone 'UTC' as ends
          from private.summed_days c
         where not p_is_named and c.summed_at is not null and c.subjects_at is not null
           and c.day >= (p_from at time zone 'UTC')::date and c.day < (p_to at time zone 'UTC')::date
           and not exists (select from private.changed_days n where n.day = c.day)
      ) s
     where s.starts >= p_from
       and width_bucket(s.ends - interval '1 microsecond', p_starts) is not distinct from width_bucket(s.starts, p_starts)
  ),
  months as materialized (
    select d.month from days d
     group by d.month
    having count(*) = extract(day from d.month + interval '1 month' - interval '1 day')
       and width_bucket(max(d.starts), p_starts) is not distinct from width_bucket(min(d.starts), p_starts)
  )
  select array_agg(d.day) filter (where m.month is null), array_agg(distinct d.month) filter (where m.month is not null),
         tstzmultirange(tstzrange(p_from, p_to)) - coalesce(range_agg(tstzrange(d.starts, d.ends)), '{}'::tstzmultirange)
    into v_days, v_months, v_rest
    from days d left join months m on m.month = d.month;
  return concat_ws(
    ' union all ',
    case when v_months is not null then format(
      $source$
        select m.month::timestamp at time zone 'UTC' as bucket, m.subject_id, null::text as provider, null::text as model,
               null::text as source, m.events, m.prompts, m.input_tokens, m.output_tokens, m.total_tokens, m.cost, m.nano_usd
          from private.monthly_subject_usage m where m.month = any (%L)
      $source$,
      v_months
    ) end,
    case when v_days is not null then format(
      $source$
        select d.day::timestamp at time zone 'UTC' as bucket, d.subject_id, null::text as provider, null::text as model,
               null::text as source, d.events, d.prompts, d.input_tokens, d.output_tokens, d.total_tokens, d.cost, d.nano_usd
          from private.daily_subject_usage d where d.day = any (%L)
      $source$,
      v_days
    ) end,
    case
      when isempty(v_rest) then null
      -- Mostly it is one piece, where conditions are looked at before anything is copied.
      when v_rest = tstzmultirange(range_merge(v_rest)) then format(
        $source$
          select u.bucket, u.subject_id, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
                 u.total_tokens, u.cost, u.nano_usd
            from public.usage_rollups u where u.bucket >= %1$L and u.bucket < %2$L
          union all
          select u.bucket, u.subject_id, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
                 u.total_tokens, u.cost, u.nano_usd
            from private.unpack_rollups(%1$L, %2$L) u
        $source$,
        lower(v_rest), upper(v_rest)
      )
      else format(
        $source$
          select u.bucket, u.subject_id, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
                 u.total_tokens, u.cost, u.nano_usd
            from unnest(%L::tstzmultirange) x(part)
           cross join lateral (
             select * from public.usage_rollups l where l.bucket >= lower(x.part) and l.bucket < upper(x.part)
             union all
             select * from private.unpack_rollups(lower(x.part), upper(x.part))
             offset 0
           ) u
        $source$,
        v_rest
      )
    end
  );
end
$$;
comment on function private.subject_source(boolean, timestamptz[], timestamptz, timestamptz) is
  'Returns the SQL of rows (bucket, subject_id, provider, model, source, sums) that everybody''s use between two times is added up from, subject by subject; names are known with p_is_named only. None of them is of two periods, whose starts are given.';
