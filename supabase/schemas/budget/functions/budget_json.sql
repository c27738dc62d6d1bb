create or replace function private.budget_json(p_kind text)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'subject_kind', p.subject_kind, 'total', p.total, 'allocated', p.allocated,
    'used', coalesce(b.used, 0), 'reserved', coalesce(b.reserved, 0),
    'remaining', p.allocated - coalesce(b.used, 0) - coalesce(b.reserved, 0),
    'unallocated', case when p.total is not null then greatest(p.total - p.allocated, 0) end
  )
    from public.budgets p
    left join (
      -- Not of balances that have yet to come into a period that has begun: there they have used nothing.
      select b.subject_kind, sum(b.used)::bigint as used, sum(b.reserved)::bigint as reserved
        from public.balances b
       where b.subject_kind = p_kind and (p_kind <> 'device' or b.period = (select max(n.number) from public.periods n))
       group by b.subject_kind
    ) b using (subject_kind)
   where p.subject_kind = p_kind
$$;
comment on function private.budget_json(text) is 'Returns a pool with what is allocated from it, spent, held and left.';
