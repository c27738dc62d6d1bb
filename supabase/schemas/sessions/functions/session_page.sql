create or replace function private.session_page(
  p_user_id uuid, p_limit integer, p_before_at text, p_before_id uuid, p_current uuid default null
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select s.id, s.created_at, s.last_used_at, s.expires_at, s.user_agent, s.address,
               s.id is not distinct from p_current as current
          from private.sessions s
         where s.user_id = p_user_id and s.expires_at > now()
           and (p_before_id is null or (s.created_at, s.id) < (p_before_at::timestamptz, p_before_id))
         order by s.created_at desc, s.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
comment on function private.session_page(uuid, integer, text, uuid, uuid) is
  'Returns the running sessions of an account, newest first; before (time, id) to page on.';
