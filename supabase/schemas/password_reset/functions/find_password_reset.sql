create or replace function public.find_password_reset(p_token_hash text)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads private.password_resets, which no API role may.
begin
  return jsonb_build_object('email', (
    select r.email from private.password_resets r
     where r.token_hash = decode(p_token_hash, 'hex') and r.user_id is not null and r.expires_at > now()
  ));
end
$$;
grant execute on function public.find_password_reset(text) to service_role;
comment on function public.find_password_reset(text) is
  'Returns {email}: whose password a mailed token (SHA-256, hex) sets, which the new one must not be; null for no good token.';
