create or replace function private.usage_by_day(p_days integer)
returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select jsonb_agg(
             jsonb_build_object(
               'day', to_char(d.day, 'YYYY-MM-DD'), 'events', u.events, 'prompts', u.prompts,
               'total_tokens', u.total_tokens, 'cost', u.cost, 'nano_usd', u.nano_usd
             ) order by d.day
           )
      from private.recent_days(p_days) d
     cross join lateral (
       select coalesce(sum(x.events), 0) as events, coalesce(sum(x.prompts), 0) as prompts,
              coalesce(sum(x.total_tokens), 0) as total_tokens, coalesce(sum(x.cost), 0) as cost,
              coalesce(sum(x.nano_usd), 0) as nano_usd
         from (
           select s.events, s.prompts, s.total_tokens, s.cost, s.nano_usd
             from private.daily_usage s where d.is_summed and s.day = d.day
           union all
           select t.events, t.prompts, t.total_tokens, t.cost, t.nano_usd
             from public.usage_totals t where not d.is_summed and t.bucket >= d.starts and t.bucket < d.ends
         ) x
     ) u
  );
end
$$;
comment on function private.usage_by_day(integer) is 'Returns usage of everybody per day (UTC), today last, days without any included.';
