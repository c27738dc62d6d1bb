create or replace function public.list_alerts(p_actor jsonb, p_limit integer, p_before bigint default null)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads private.alerts, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.id desc), '[]')
      from (
        select a.id, a.type, a.data, a.occurred_at,
               case a.data ->> 'subject_kind'
                 when 'device' then (
                   select d.name from public.devices d
                    where d.id = (a.data ->> 'subject_id')::uuid and d.deleted_at is null
                 )
                 when 'user' then (select u.email from public.users u where u.id = (a.data ->> 'subject_id')::uuid)
               end as name
          from private.alerts a
         where p_before is null or a.id < p_before
         order by a.id desc
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_alerts(jsonb, integer, bigint) to service_role;
comment on function public.list_alerts(jsonb, integer, bigint) is
  'Returns the alerts of the last 90 days, newest first; before an id to page on: [{id, type, data, occurred_at, name}], the name of the device or account where it is still there.';
