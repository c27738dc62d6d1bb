create or replace function private.top_subjects(p_kind text)
returns jsonb
language sql stable set search_path = ''
as $$
  select coalesce(jsonb_agg(to_jsonb(t) order by t.used desc, t.id), '[]')
    from (
      select b.subject_id as id, coalesce(d.name, u.email) as name, b.used, b.allocated
        from (
          -- Sorted before the join, as sorting numbers is cheap; more than ten, as some may be deleted.
          select subject_id, used, allocated from public.balances
           where subject_kind = p_kind and used > 0 order by used desc, subject_id limit 1000
        ) b
        left join public.devices d on d.id = b.subject_id and d.deleted_at is null
        left join public.users u on u.id = b.subject_id
       where coalesce(d.name, u.email) is not null
       order by b.used desc, b.subject_id
       limit 10
    ) t
$$;
comment on function private.top_subjects(text) is 'Returns the ten devices or accounts that used most of their balance, which for devices is in this period.';
