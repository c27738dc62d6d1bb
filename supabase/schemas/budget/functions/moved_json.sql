create or replace function private.moved_json(p_subject_id uuid, p_from_id uuid, p_before jsonb, p_entries jsonb)
returns jsonb
language sql stable set search_path = ''
as $$
  select private.balance_json(p_subject_id) || jsonb_build_object(
    'before', p_before -> 'to',
    'from', private.balance_json(p_from_id) || jsonb_build_object('before', p_before -> 'from'),
    'entries', p_entries
  )
$$;
comment on function private.moved_json(uuid, uuid, jsonb, jsonb) is
  'Returns what a movement of tokens did: both balances, what they were before {to, from}, and the ledger entries.';
