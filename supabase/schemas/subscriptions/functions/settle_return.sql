-- Tokens follow money back: what is unspent is taken, never below what is spent or held; the rest is owed, so that the next
-- paid invoices make up for it, or written down. Where money comes back after all, so do they.
create or replace function private.settle_return(p_user_id uuid, p_invoice_id text)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_grant public.subscription_grants;
  v_return private.stripe_returns;
  v_owed bigint;
  v_tier text;
  v_change bigint;
  v_taken bigint := 0;
  v_short bigint := 0;
  v_forgiven bigint := 0;
  v_reference text;
begin
  select g.* into v_grant
    from public.subscription_grants g where g.stripe_invoice_id = p_invoice_id and g.user_id = p_user_id;
  select r.* into v_return from private.stripe_returns r where r.stripe_invoice_id = p_invoice_id and r.user_id = p_user_id;
  if v_grant.id is null or v_return.stripe_invoice_id is null then
    perform private.limit_returned_tier(p_user_id);
    return;
  end if;
  select s.tokens_owed, public.effective_tier(s) into strict v_owed, v_tier
    from public.subscriptions s where s.user_id = p_user_id;
  v_reference := p_invoice_id || ' returned ' || v_return.version;
  v_change := case when v_return.total > 0
    then round(greatest(v_grant.net_tokens, 0)::numeric * least(v_return.returned, v_return.total) / v_return.total)
    else 0
  end - v_grant.returned_tokens;

  if v_change > 0 then
    perform from public.budgets where subject_kind = 'user' for update;
    perform from public.balances b where b.subject_id = p_user_id for update;
    perform private.expire_reservations(array[p_user_id]);
    select least(v_change, b.remaining) into strict v_taken
      from public.balances b where b.subject_id = p_user_id;
    if v_taken > 0 then
      perform private.record_allocation(p_user_id, -v_taken, 'subscription', 'system:stripe', v_reference);
      update public.budgets set allocated = allocated - v_taken, updated_at = now() where subject_kind = 'user';
    end if;
    v_forgiven := case when v_return.forgives then v_change - v_taken else 0 end;
    v_owed := v_owed + v_change - v_taken - v_forgiven;
  elsif v_change < 0 then
    v_forgiven := -least(-v_change, v_grant.forgiven_tokens);
    v_short := least(-v_change + v_forgiven, v_owed);
    v_owed := v_owed - v_short;
    v_short := -v_change + v_forgiven - v_short;
    v_taken := -private.grant_subscription(p_user_id, v_short, v_reference);
    v_short := v_short + v_taken;
  end if;

  if v_change <> 0 then
    update public.subscription_grants g
       set returned_tokens = g.returned_tokens + v_change, taken_tokens = g.taken_tokens + v_taken,
           forgiven_tokens = g.forgiven_tokens + v_forgiven, short_tokens = g.short_tokens + v_short
     where g.id = v_grant.id;
    update public.subscriptions s set tokens_owed = v_owed, updated_at = now() where s.user_id = p_user_id;
  end if;
  perform private.limit_returned_tier(p_user_id);
  perform private.audit(
    'system:stripe', null, case when v_change < 0 then 'payment_restored' else 'payment_returned' end, 'user:' || p_user_id,
    jsonb_build_object('tier', v_tier, 'returned_tokens', v_grant.returned_tokens),
    jsonb_build_object(
      'tier', (select public.effective_tier(s) from public.subscriptions s where s.user_id = p_user_id),
      'invoice', p_invoice_id, 'returned', v_return.returned, 'total', v_return.total,
      'returned_tokens', v_grant.returned_tokens + v_change, 'taken_tokens', v_taken, 'forgiven_tokens', v_forgiven,
      'tokens_owed', v_owed
    )
  );
end
$$;
comment on function private.settle_return(uuid, text) is
  'Brings what an invoice granted in line with what of its money has gone back, and the tier too, with an audit entry; nothing while only one of the two is known. The account must be locked by the caller.';
