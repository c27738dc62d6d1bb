create or replace function private.balance_json(p_subject_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    b.subject_kind || '_id', b.subject_id, 'allocated', b.allocated, 'used', b.used, 'reserved', b.reserved,
    'remaining', b.remaining
  ) from public.balances b where b.subject_id = p_subject_id
$$;
comment on function private.balance_json(uuid) is 'Returns a balance as the admin API shows it.';
