create or replace function public.require_current_user(p_scope text default 'account')
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and keys.
declare
  v_claims jsonb := auth.jwt();
  v_user_id uuid := (v_claims ->> 'sub')::uuid;
begin
  perform private.refuse_credential(
    private.credential_problem(v_user_id, (v_claims ->> 'sid')::uuid, (v_claims ->> 'key_id')::uuid, p_scope), p_scope
  );
  return v_user_id;
end
$$;
grant execute on function public.require_current_user(text) to authenticated;
comment on function public.require_current_user(text) is
  'Returns the account the request''s token is about; raises what require_user does. Policies ask current_user_id, which raises nothing.';
