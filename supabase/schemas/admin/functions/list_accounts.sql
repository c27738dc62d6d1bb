create or replace function public.list_accounts(
  p_actor jsonb, p_limit integer, p_sort text, p_query text default null, p_filter text default null,
  p_after_value text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC' set jit = off
as $$
-- Definer: reads every account, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return jsonb_build_object(
    'count', private.count_matches('user', p_query, p_filter),
    'users', private.account_page(p_query, p_filter, p_limit, p_sort, p_after_value, p_after_id)
  );
end
$$;
grant execute on function public.list_accounts(jsonb, integer, text, text, text, text, uuid) to service_role;
comment on function public.list_accounts(jsonb, integer, text, text, text, text, uuid) is
  'Returns accounts for an admin: {count, users}, one page of those that match a query and a filter; sort_value and id of the last row page on.';
