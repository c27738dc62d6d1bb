create or replace function public.list_alert_mails(p_limit integer)
returns jsonb
language sql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads private.alert_mails, which no API role may.
  select coalesce(jsonb_agg(to_jsonb(page) order by page.occurred_at, page.id), '[]')
    from (
      select m.id, m.user_id is not null as to_person, m.type, m.data, m.occurred_at, d.name as device_name
        from private.alert_mails m
        left join public.devices d on d.id = (m.data ->> 'subject_id')::uuid and m.data ->> 'subject_kind' = 'device'
       order by m.occurred_at, m.id
       limit p_limit
    ) page
$$;
grant execute on function public.list_alert_mails(integer) to service_role;
comment on function public.list_alert_mails(integer) is
  'Returns mails about alerts that are yet to be written, oldest first: [{id, to_person, type, data, occurred_at, device_name}]; no address.';
