create or replace function public.begin_user_second_factor(p_caller jsonb, p_secret text, p_verified_hash text default null)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes second factors, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  perform private.require_own_proof(p_caller, p_verified_hash, false);
  insert into private.user_second_factors as f (user_id, secret) values (v_user_id, p_secret)
  on conflict (user_id) do update
    set id = gen_random_uuid(), secret = excluded.secret, created_at = now() where f.confirmed_at is null;
  if not found then
    raise sqlstate 'PT409' using message = 'SECOND_FACTOR_EXISTS';
  end if;
  return true;
end
$$;
grant execute on function public.begin_user_second_factor(jsonb, text, text) to service_role;
comment on function public.begin_user_second_factor(jsonb, text, text) is
  'Keeps the secret of a second factor of the caller that is still to be confirmed. Raises SECOND_FACTOR_EXISTS, PROOF_REQUIRED, INVALID_CREDENTIALS.';
