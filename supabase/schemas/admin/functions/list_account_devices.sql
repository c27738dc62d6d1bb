create or replace function public.list_account_devices(p_actor jsonb, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads everybody's devices, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  perform private.account_json(p_user_id);
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select d.id, d.name, d.blocked, d.registrations, d.last_registered_at, d.created_at,
               b.allocated, b.used, b.remaining
          from public.devices d join public.balances b on b.subject_id = d.id
         where d.user_id = p_user_id and d.deleted_at is null
         order by d.created_at desc, d.id desc
         limit 200
      ) page
  );
end
$$;
grant execute on function public.list_account_devices(jsonb, uuid) to service_role;
comment on function public.list_account_devices(jsonb, uuid) is
  'Returns the devices of an account with their balances, newest first, 200 at most; raises USER_NOT_FOUND.';
