create or replace function public.begin_second_factor(p_actor jsonb, p_secret text)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.admin_second_factors, which no API role may.
begin
  perform private.require_admin(p_actor, null);
  insert into private.admin_second_factors as f (admin_id, secret) values ((p_actor ->> 'id')::uuid, p_secret)
  on conflict (admin_id) do update set secret = excluded.secret, created_at = now() where f.confirmed_at is null;
  if not found then
    raise sqlstate 'PT409' using message = 'SECOND_FACTOR_EXISTS';
  end if;
  return true;
end
$$;
grant execute on function public.begin_second_factor(jsonb, text) to service_role;
comment on function public.begin_second_factor(jsonb, text) is
  'Keeps the secret of a second factor that is still to be confirmed; raises SECOND_FACTOR_EXISTS.';
