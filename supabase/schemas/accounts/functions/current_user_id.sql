-- In plpgsql because it keeps its plans: policies ask for it several times with every read.
create or replace function public.current_user_id()
returns uuid
language plpgsql stable security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
-- Definer: no API role may read sessions and keys, but policies must ask for them.
declare
  v_claims constant jsonb := auth.jwt();
  v_user_id constant uuid := v_claims ->> 'sub';
begin
  if private.credential_problem(v_user_id, (v_claims ->> 'sid')::uuid, (v_claims ->> 'key_id')::uuid, null) is null then
    return v_user_id;
  end if;
  return null;
end
$$;
grant execute on function public.current_user_id() to authenticated;
comment on function public.current_user_id() is
  'Returns the account the request''s token is about; null where it is suspended, or the session (sid) or API key (key_id) it names has ended.';
