create or replace function public.confirm_fresh_user(p_caller jsonb)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and keys.
begin
  perform private.require_user(p_caller);
  perform private.require_fresh(p_caller);
  return true;
end
$$;
grant execute on function public.confirm_fresh_user(jsonb) to service_role;
comment on function public.confirm_fresh_user(jsonb) is
  'Returns true where the caller proved who they are within 5 minutes, before what cannot be undone begins; raises INVALID_TOKEN, PROOF_REQUIRED.';
