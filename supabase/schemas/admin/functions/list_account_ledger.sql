create or replace function public.list_account_ledger(
  p_actor jsonb, p_user_id uuid, p_limit integer, p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads everybody's ledger, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  perform private.account_json(p_user_id);
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select e.id, e.kind, e.amount, e.actor, e.reference, e.created_at
          from public.ledger_entries e
         where e.subject_id = p_user_id
           and (p_before_id is null or (e.created_at, e.id) < (p_before_at::timestamptz, p_before_id))
         order by e.created_at desc, e.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.list_account_ledger(jsonb, uuid, integer, text, uuid) to service_role;
comment on function public.list_account_ledger(jsonb, uuid, integer, text, uuid) is
  'Returns what changed the allocation of an account and who did it, newest first; before (time, id) to page on. Raises USER_NOT_FOUND.';
