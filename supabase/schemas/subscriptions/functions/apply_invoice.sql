-- Tokens follow money: a paid period adds its tier's tokens once; after a change of tier the rest of a period adds and takes
-- off its share, as Stripe charges and credits it.
create or replace function public.apply_invoice(p_invoice jsonb, p_event jsonb default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes grants, balances, the pool and the ledger, which no API role may.
declare
  v_user_id uuid := private.lock_customer(p_invoice ->> 'customer_id', null);
  v_subscription_id text := p_invoice ->> 'subscription_id';
  v_invoice_id text := p_invoice ->> 'invoice_id';
  v_main record;
  v_owed bigint;
  v_due bigint;
  v_granted bigint;
begin
  if v_user_id is null then
    return jsonb_build_object('outcome', 'unknown_customer');
  elsif not private.record_stripe_event(p_event) then
    return jsonb_build_object('outcome', 'duplicate');
  elsif exists (select from public.subscription_grants g where g.stripe_invoice_id = v_invoice_id) then
    return jsonb_build_object('outcome', 'kept');
  end if;

  -- The line that names the invoice's period, and what all lines come to.
  select worth.*, worth.months > 0 and not worth.proration and worth.sign > 0 as renewal,
         -- What no balance can hold is cut off.
         greatest(least(sum(round(worth.sign * worth.quantity * worth.months * worth.monthly_tokens)) over (), 9007199254740991), -9007199254740991)::bigint as net
    into v_main
    from (
      select line.tier, line.sign, line.proration, coalesce(line.quantity, 1) as quantity, plan.monthly_tokens, period.starts,
             period.ends,
             case
               when line.proration then private.prorated_months(v_subscription_id, period.starts, period.ends)
               when exists (
                 select from public.subscription_grants g
                  where g.stripe_subscription_id = v_subscription_id and g.period_start = period.starts and g.renewal
               ) then 0
               else private.period_months(period.starts, period.ends)
             end as months
        from jsonb_to_recordset(p_invoice -> 'lines')
               as line(tier text, sign integer, proration boolean, quantity bigint, period_start bigint, period_end bigint)
        join public.plans plan using (tier)
        cross join lateral (
          select to_timestamp(line.period_start) as starts, to_timestamp(line.period_end) as ends
        ) period
    ) worth
   order by worth.proration, worth.sign desc, worth.ends desc
   limit 1;
  -- A period is noted also where its tier adds nothing, so that it does not when the plan is edited later.
  if v_main.tier is null or (v_main.net = 0 and not v_main.renewal) then
    return jsonb_build_object('outcome', 'kept');
  end if;

  -- What earlier invoices credited beyond what they charged is still to be made up for. Stripe's credit is the customer's,
  -- not a subscription's, and so is this.
  select s.tokens_owed into strict v_owed from public.subscriptions s where s.user_id = v_user_id;
  v_due := greatest(v_main.net - v_owed, 0);
  v_granted := private.grant_subscription(
    v_user_id, v_due,
    case when v_main.renewal then v_subscription_id || to_char(v_main.starts at time zone 'UTC', ' YYYY-MM-DD"T"HH24:MI:SS"Z"') else v_invoice_id end
  );
  insert into public.subscription_grants (
    user_id, stripe_invoice_id, stripe_subscription_id, tier, renewal, period_start, period_end, net_tokens, granted_tokens,
    short_tokens, paid_amount, currency
  )
  values (
    v_user_id, v_invoice_id, v_subscription_id, v_main.tier, v_main.renewal, v_main.starts, v_main.ends, v_main.net, v_granted,
    v_due - v_granted, (p_invoice ->> 'amount_paid')::bigint, p_invoice ->> 'currency'
  );
  update public.subscriptions s set tokens_owed = greatest(v_owed - v_main.net, 0) where s.user_id = v_user_id;
  -- Its money may have gone back before this was heard of.
  perform private.settle_return(v_user_id, v_invoice_id);
  return jsonb_build_object('outcome', 'applied', 'granted', v_granted);
end
$$;
grant execute on function public.apply_invoice(jsonb, jsonb) to service_role;
comment on function public.apply_invoice(jsonb, jsonb) is
  'Grants what a paid invoice {invoice_id, customer_id, subscription_id, amount_paid, currency, lines: [{tier, sign, proration, quantity, period_start, period_end}]} is worth, a year twelve months'' tokens: sign is 1 for a charge, -1 for a credit, 0 for what is free; times in epoch seconds. Returns {outcome}: applied with the granted tokens, kept, duplicate or unknown_customer.';
