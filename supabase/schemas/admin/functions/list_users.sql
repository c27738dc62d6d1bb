create or replace function public.list_users(
  p_actor jsonb, p_limit integer, p_query text default null, p_after_at text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every account, which no API role may.
declare
  v_pattern text := '%' || replace(replace(replace(lower(p_query), '\', '\\'), '%', '\%'), '_', '\_') || '%';
begin
  perform private.require_admin(p_actor, 'viewer');
  return jsonb_build_object(
    'count', (
      select count(*) from public.users u
       where v_pattern is null or u.email like v_pattern or lower(u.name) like v_pattern
    ),
    'users', (
      select coalesce(jsonb_agg(private.user_json(page) order by page.created_at desc, page.id desc), '[]')
        from (
          select u.* from public.users u
           where (v_pattern is null or u.email like v_pattern or lower(u.name) like v_pattern)
             and (p_after_id is null or (u.created_at, u.id) < (p_after_at::timestamptz, p_after_id))
           order by u.created_at desc, u.id desc
           limit p_limit
        ) page
    )
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.list_users(jsonb, integer, text, text, uuid) to service_role;
comment on function public.list_users(jsonb, integer, text, text, uuid) is
  'Returns accounts with their balances, newest first: {count, users}. The query searches e-mail and name; after (time, id) to page on.';
