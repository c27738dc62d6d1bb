create or replace function private.prove_entries()
returns table (place integer, title text, checked bigint, discrepancies jsonb)
language sql stable set search_path = ''
as $$
  with
  transfers as (
    select e.reference as subject, 0 as stated, sum(e.amount) as proven
      from public.ledger_entries e where e.kind = 'transfer' group by e.reference
  ),
  -- What was granted is what the money that was kept is worth, but for what is owed or was written down.
  paid as (
    select user_id as subject,
           array[coalesce(g.granted, 0), coalesce(e.total, 0)]::numeric[] as stated,
           array[coalesce(g.worth, 0) + coalesce(s.tokens_owed, 0), coalesce(g.granted, 0) - coalesce(g.short, 0)]::numeric[] as proven
      from (
        select g.user_id, sum(g.granted_tokens + g.short_tokens - g.taken_tokens) as granted, sum(g.short_tokens) as short,
               sum(g.net_tokens - g.returned_tokens + g.forgiven_tokens) as worth
          from public.subscription_grants g group by g.user_id
      ) g
      full join public.subscriptions s using (user_id)
      full join (
        select subject_id as user_id, sum(amount) as total
          from public.ledger_entries where kind = 'subscription' group by subject_id
      ) e using (user_id)
     where exists (select from public.users u where u.id = user_id)
  )
  select 6, 'legs of each transfer cancel out', count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', t.subject, 'stated', t.stated, 'proven', t.proven))
             filter (where t.stated is distinct from t.proven),
           '[]'
         )
    from transfers t
  union all
  select 11, 'tokens granted for payments = worth of the money kept', count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', p.subject, 'stated', p.stated, 'proven', p.proven))
             filter (where p.stated is distinct from p.proven),
           '[]'
         )
    from paid p
$$;
comment on function private.prove_entries() is 'Proves that transfers cancel out, and that paid grants are worth the money that was kept.';
