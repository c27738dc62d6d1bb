create or replace function private.budget_json(p_kind text)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'subject_kind', p.subject_kind, 'total', p.total, 'allocated', p.allocated,
    'used', coalesce(b.used, 0), 'reserved', coalesce(b.reserved, 0),
    'remaining', coalesce(b.remaining, 0),
    'unallocated', case when p.total is not null then greatest(p.total - p.allocated, 0) end
  )
    from public.budgets p
    left join (
      select subject_kind, sum(used)::bigint as used, sum(reserved)::bigint as reserved,
             sum(remaining)::bigint as remaining
        from public.balances where subject_kind = p_kind group by subject_kind
    ) b using (subject_kind)
   where p.subject_kind = p_kind
$$;
comment on function private.budget_json(text) is 'Returns a pool with what is allocated from it, spent, held and left.';
