create or replace function private.device_models_this_month(p_device_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select coalesce(jsonb_agg(to_jsonb(m) - 'is_rest' order by m.is_rest, m.cost desc, m.model), '[]')
    from (
      select r.rank > 20 as is_rest, case when r.rank > 20 then 'other' else r.model end as model,
             sum(r.events)::bigint as events, sum(r.prompts)::bigint as prompts, sum(r.cost)::bigint as cost
        from (
          select u.model, sum(u.events) as events, sum(u.prompts) as prompts, sum(u.cost) as cost,
                 row_number() over (order by sum(u.cost) desc, u.model) as rank
            from public.usage_rollups u
           where u.subject_id = p_device_id and u.bucket >= date_trunc('month', now(), 'UTC')
           group by u.model
        ) r
       group by 1, 2
    ) m
$$;
comment on function private.device_models_this_month(uuid) is
  'Returns a device''s usage in the current month (UTC) by model: the 20 it used most, and the rest as other.';
