create or replace function public.current_user_id()
returns uuid
language sql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and keys, but policies must ask for them.
  select c.user_id
    from (
      select (auth.jwt() ->> 'sub')::uuid as user_id, (auth.jwt() ->> 'sid')::uuid as session_id,
             (auth.jwt() ->> 'key_id')::uuid as api_key_id
    ) c
   where private.credential_problem(c.user_id, c.session_id, c.api_key_id, null) is null
$$;
grant execute on function public.current_user_id() to authenticated;
comment on function public.current_user_id() is
  'Returns the account the request''s token is about; null where it is suspended, or the session (sid) or API key (key_id) it names has ended.';
