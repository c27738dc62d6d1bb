create or replace function private.account_filter(p_filter text)
returns text
language sql immutable set search_path = ''
as $$
  select case p_filter
    when 'suspended' then 'u.suspended_at is not null'
    when 'near_limit' then 'b.remaining * 10 <= b.allocated'
    when 'unverified' then 'u.email_verified_at is null'
    when 'subscribed' then $condition$s.status <> 'none' and public.effective_tier(s) <> 'free'$condition$
    when 'idle' then
      $condition$
        u.created_at < now() - interval '30 days' and u.id not in (
          select coalesce(d.user_id, r.subject_id)
            from (
              select distinct t.subject_id from public.usage_rollups t where t.bucket >= now() - interval '30 days'
            ) r
            left join public.devices d on d.id = r.subject_id
        )
      $condition$
    else 'true'
  end
$$;
comment on function private.account_filter(text) is
  'Returns the SQL of a filter of accounts u with balances b and subscriptions s: suspended, near_limit (a tenth left, or less), unverified, subscribed, idle (no use for 30 days).';
