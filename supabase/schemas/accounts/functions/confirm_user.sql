create or replace function public.confirm_user(p_caller jsonb)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and keys.
begin
  return private.require_user(p_caller) is not null;
end
$$;
grant execute on function public.confirm_user(jsonb) to service_role;
comment on function public.confirm_user(jsonb) is
  'Returns true where the caller''s session or key is good, for what asks the database nothing else; raises INVALID_TOKEN.';
