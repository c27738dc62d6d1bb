create or replace function private.account_subjects(p_user_id uuid)
returns uuid[]
language sql stable set search_path = ''
as $$
  select case when p_user_id is not null then
    array[p_user_id] || array(select d.id from public.devices d where d.user_id = p_user_id)
  end
$$;
comment on function private.account_subjects(uuid) is 'Returns an account and its devices; null, for everybody, where no account is named.';
