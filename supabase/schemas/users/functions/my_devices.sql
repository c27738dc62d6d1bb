create or replace function public.my_devices(p_limit integer, p_after_at text default null, p_after_id uuid default null)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select d.id, d.name, d.blocked, d.registrations, d.last_registered_at, d.created_at,
               b.allocated, b.used, b.remaining, b.reserved,
               public.own_last_use(d.id) as last_used_at
          from public.devices d join public.balances b on b.subject_id = d.id
         where d.user_id = v_user_id and d.deleted_at is null
           and (p_after_id is null or (d.created_at, d.id) < (p_after_at::timestamptz, p_after_id))
         order by d.created_at desc, d.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.my_devices(integer, text, uuid) to authenticated;
comment on function public.my_devices(integer, text, uuid) is
  'Returns the devices linked to the caller with their balances and the quarter hour of their last use, newest first; after (time, id) to page on.';
