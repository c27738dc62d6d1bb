create or replace function private.lock_for_change(p_kind text, p_ids uuid[])
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.users u where p_kind = 'user' and u.id = any (p_ids) order by u.id for update;
  perform from public.budgets where subject_kind = p_kind for update;
end
$$;
comment on function private.lock_for_change(text, uuid[]) is
  'Locks the accounts that are changed and the pool, in the order everybody does.';
