create or replace function private.top_models(p_days integer)
returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(m) order by m.prompts desc, m.model), '[]')
      from (
        select u.model, sum(u.events)::bigint as events, sum(u.prompts)::bigint as prompts,
               sum(u.total_tokens)::bigint as total_tokens, sum(u.cost)::bigint as cost, sum(u.nano_usd)::bigint as nano_usd
          from private.recent_days(p_days) d
         cross join lateral (
           select s.model, s.events, s.prompts, s.total_tokens, s.cost, s.nano_usd
             from private.daily_usage s where d.is_summed and s.day = d.day
           union all
           select r.model, r.events, r.prompts, r.total_tokens, r.cost, r.nano_usd
             from public.usage_rollups r where not d.is_summed and r.bucket >= d.starts and r.bucket < d.ends
           union all
           select r.model, r.events, r.prompts, r.total_tokens, r.cost, r.nano_usd
             from private.unpack_rollups(d.starts, d.ends) r where not d.is_summed
         ) u
         group by u.model
         order by prompts desc, u.model
         limit 10
      ) m
  );
end
$$;
comment on function private.top_models(integer) is 'Returns the ten models everybody used most in the last so many days (UTC), by prompts.';
