create or replace function public.get_purchase(p_user_id uuid, p_subscription_id text)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: whoever has the id of a payment page that was paid sees what was bought on it, without a session.
begin
  return jsonb_build_object('bought', (
    select jsonb_build_object(
             'tier', g.tier, 'period_start', g.period_start, 'period_end', g.period_end,
             'tokens_granted', g.granted_tokens
           )
      from public.subscription_grants g
     where g.user_id = p_user_id and g.stripe_subscription_id = p_subscription_id
     order by g.created_at, g.id
     limit 1
  ));
end
$$;
grant execute on function public.get_purchase(uuid, text) to service_role;
comment on function public.get_purchase(uuid, text) is
  'Returns what the first payment of a subscription bought: {bought: {tier, period_start, period_end, tokens_granted}}, null before it has arrived here.';
