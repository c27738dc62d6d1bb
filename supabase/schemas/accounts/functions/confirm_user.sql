create or replace function public.confirm_user(p_caller jsonb, p_scope text)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and keys.
begin
  return private.require_user(p_caller, p_scope) is not null;
end
$$;
grant execute on function public.confirm_user(jsonb, text) to service_role;
comment on function public.confirm_user(jsonb, text) is
  'Returns true where the caller''s session, or key with this scope, is good, for what asks the database nothing else; raises what require_user does.';
