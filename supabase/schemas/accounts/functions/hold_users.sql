-- A deletion under way ends first; one that starts later waits for this transaction, so nothing is added behind its back.
create or replace function private.hold_users(p_items jsonb)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.users u
    where u.id in (select i.id from jsonb_to_recordset(p_items) as i(id uuid)) order by u.id for key share;
end
$$;
comment on function private.hold_users(jsonb) is
  'Keeps the accounts of these callers, where they are still there, until the transaction ends.';
