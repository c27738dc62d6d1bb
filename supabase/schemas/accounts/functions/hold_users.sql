-- A deletion under way ends first; one that starts later waits for this transaction, so nothing is added behind its back.
create or replace function private.hold_users(p_items jsonb)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  -- As an array, by which users are looked up: a join with JSON would read all of them.
  v_users uuid[] := array(select (i ->> 'id')::uuid from jsonb_array_elements(p_items) i);
begin
  perform from public.users u where u.id = any (v_users) order by u.id for key share;
end
$$;
comment on function private.hold_users(jsonb) is
  'Keeps the accounts of these callers, where they are still there, until the transaction ends.';
