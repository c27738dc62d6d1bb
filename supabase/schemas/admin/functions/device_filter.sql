create or replace function private.device_filter(p_filter text)
returns text
language sql immutable set search_path = ''
as $$
  select case p_filter
    when 'blocked' then 'd.blocked'
    when 'near_limit' then 'b.remaining * 10 <= b.allocated'
    when 'unlinked' then 'd.user_id is null'
    when 'idle' then
      $condition$
        d.last_registered_at < now() - interval '30 days' and not exists (
          select from public.usage_rollups r where r.subject_id = d.id and r.bucket >= now() - interval '30 days'
        )
      $condition$
    else 'true'
  end
$$;
comment on function private.device_filter(text) is
  'Returns the SQL of a filter of devices d with balances b: blocked, near_limit (a tenth left, or less), unlinked, idle (neither seen nor used for 30 days).';
