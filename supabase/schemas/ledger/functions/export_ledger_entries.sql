create or replace function public.export_ledger_entries(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at, page.id), '[]')
      from (
        select e.id, e.kind, e.amount, e.period, case when e.actor like 'admin:%' then 'admin' else 'system' end as actor,
               e.reference, e.created_at
          from public.ledger_entries e
         where e.subject_id = v_user_id and (e.created_at, e.id) > (p_after_at, p_after_id)
         order by e.created_at, e.id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_ledger_entries(integer, timestamptz, uuid) to authenticated;
comment on function public.export_ledger_entries(integer, timestamptz, uuid) is
  'Returns the changes of the caller''s allocation, oldest first; after (time, id) to page on.';
