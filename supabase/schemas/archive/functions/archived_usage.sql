create or replace function public.archived_usage(
  p_subject_id uuid, p_limit integer, p_from timestamptz, p_to timestamptz, p_filter jsonb default '{}',
  p_at timestamptz default null, p_id uuid default null, p_is_ascending boolean default false, p_linked_to uuid default null
)
returns setof public.usage_events
language plpgsql stable set search_path = ''
as $$
begin
  if p_from >= public.archived_until() is not false then
    return;
  end if;
  -- Of everybody only for admins' functions, which have their owner's rights.
  if has_table_privilege('public.usage_totals', 'select') then
    return query
      select * from private.archived_page(
        p_subject_id, p_linked_to, null, null, p_limit, p_from, p_to, p_filter, p_at, p_id, p_is_ascending
      );
  else
    return query
      select * from public.own_archived_usage(p_subject_id, p_linked_to, p_limit, p_from, p_to, p_filter, p_at, p_id, p_is_ascending);
  end if;
end
$$;
grant execute on function public.archived_usage(uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid, boolean, uuid) to authenticated;
comment on function public.archived_usage(uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid, boolean, uuid) is
  'Returns archived events of one subject, of devices in an account''s name, or of everybody the caller may see: the newest before a place, or the oldest after it. Filters are provider, model, source, device and debits, any or those of people.';
