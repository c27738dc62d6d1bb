create or replace function public.my_invoice(p_payment_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return jsonb_build_object('invoice_id', (
    select g.stripe_invoice_id from public.subscription_grants g where g.user_id = v_user_id and g.id = p_payment_id
  ));
end
$$;
grant execute on function public.my_invoice(uuid) to authenticated;
comment on function public.my_invoice(uuid) is 'Returns {invoice_id}: Stripe''s id of the invoice of one of the caller''s payments, null for another.';
