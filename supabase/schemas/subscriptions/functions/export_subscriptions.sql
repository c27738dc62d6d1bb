create or replace function public.export_subscriptions(
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
        select s.user_id as id, s.stripe_customer_id, s.stripe_subscription_id, s.tier, s.status, s.current_period_start,
               s.current_period_end, s.cancel_at_period_end, s.grace_ends_at, s.started_at, s.created_at, s.updated_at
          from public.subscriptions s
         where s.user_id = v_user_id and (s.created_at, s.user_id) > (p_after_at, p_after_id)
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_subscriptions(integer, timestamptz, uuid) to authenticated;
comment on function public.export_subscriptions(integer, timestamptz, uuid) is
  'Returns the caller''s subscription, in a list of one or none; after (time, id) to page on.';
