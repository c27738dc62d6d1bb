create or replace function public.get_managed_device(p_actor jsonb, p_device_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every device, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  perform private.require_subject('device', p_device_id);
  return (
    select private.device_json(d.id) || jsonb_build_object(
             'user', case when u.id is not null then
               jsonb_build_object('id', u.id, 'email', u.email, 'name', private.display_name(u))
             end,
             'period', b.period, 'created_at', d.created_at, 'last_registered_at', d.last_registered_at,
             'last_used_at', private.last_used_at(d.id), 'has_secret', d.secret_hash is not null,
             'usage_this_month', private.device_models_this_month(d.id),
             'periods', (
               select coalesce(jsonb_agg(to_jsonb(h) - 'subject_id' order by h.period desc), '[]')
                 from (
                   select p.* from public.period_balances p where p.subject_id = d.id order by p.period desc limit 12
                 ) h
             )
           )
      from public.devices d
      join public.balances b on b.subject_id = d.id
      left join public.users u on u.id = d.user_id
     where d.id = p_device_id
  );
end
$$;
grant execute on function public.get_managed_device(jsonb, uuid) to service_role;
comment on function public.get_managed_device(jsonb, uuid) is
  'Returns a device for an admin, with its owner, this month''s usage by model and its last twelve periods; raises DEVICE_NOT_FOUND.';
