-- A tier whose money went back is not in force for the rest of its period, though the subscription runs on at Stripe: no
-- whole period paid means free, an upgrade that is not paid any more means the tier before it.
create or replace function private.limit_returned_tier(p_user_id uuid)
returns void
language sql volatile set search_path = ''
as $$
  update public.subscriptions s
     set returned_tier = left_over.tier, returned_until = left_over.until
    from (
      select max(g.period_end) filter (where gone) as until,
             case
               when not bool_or(gone) then null
               when bool_or(gone and g.renewal) then 'free'
               else coalesce((array_agg(g.tier order by g.created_at desc) filter (where not gone))[1], 'free')
             end as tier
        from public.subscriptions own
        join public.subscription_grants g
          on g.user_id = own.user_id and g.stripe_subscription_id = own.stripe_subscription_id and g.period_end > now()
        left join private.stripe_returns r on r.stripe_invoice_id = g.stripe_invoice_id
        cross join lateral (select coalesce(r.total > 0 and r.returned >= r.total, false) as gone) verdict
       where own.user_id = p_user_id
    ) left_over
   where s.user_id = p_user_id
     and (s.returned_tier, s.returned_until) is distinct from (left_over.tier, left_over.until)
$$;
comment on function private.limit_returned_tier(uuid) is
  'Notes which tier is left of a person''s subscription, and until when, where all money of an invoice of its present period has gone back.';
