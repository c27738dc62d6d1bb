create or replace function private.device_models_this_month(p_device_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select coalesce(jsonb_agg(to_jsonb(m) order by m.cost desc, m.model), '[]')
    from (
      select r.model, sum(r.events)::bigint as events, sum(r.prompts)::bigint as prompts, sum(r.cost)::bigint as cost
        from public.usage_rollups r
       where r.subject_id = p_device_id and r.bucket >= date_trunc('month', now(), 'UTC')
       group by r.model
    ) m
$$;
comment on function private.device_models_this_month(uuid) is 'Returns a device''s usage in the current month (UTC) by model.';
