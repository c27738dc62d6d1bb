create or replace function public.tracker_subject(p_email text)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every account, which no API role may.
declare
  v_user_id uuid;
  v_counters public.tracker_counters;
begin
  select u.id into v_user_id from public.users u where u.email = p_email;
  if v_user_id is null then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  select c.* into v_counters from public.tracker_counters c where c.user_id = v_user_id;
  if not coalesce(v_counters.enabled, true) then
    raise sqlstate 'PT403' using message = 'TRACKER_DISABLED';
  end if;
  return jsonb_build_object('id', v_user_id, 'version', coalesce(v_counters.version, 1));
end
$$;
grant execute on function public.tracker_subject(text) to service_role;
comment on function public.tracker_subject(text) is
  'Returns the account with this address, in lower case, for whom a tracker token is made: {id, version}. Raises USER_NOT_FOUND, and TRACKER_DISABLED where the account takes none.';
