create or replace function public.apply_return(p_return jsonb, p_forgives boolean, p_version bigint, p_event jsonb default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes grants, balances, the pool, the ledger and the audit log, which no API role may.
declare
  v_user_id uuid := private.lock_customer(p_return ->> 'customer_id', null);
  v_invoice_id text := p_return ->> 'invoice_id';
  v_returned bigint := (p_return ->> 'returned')::bigint;
  v_total bigint := (p_return ->> 'total')::bigint;
  v_known private.stripe_returns;
begin
  if v_user_id is null then
    return jsonb_build_object('outcome', 'unknown_customer');
  elsif exists (select from private.stripe_events e where e.id = p_event ->> 'id') then
    return jsonb_build_object('outcome', 'duplicate');
  end if;
  select r.* into v_known from private.stripe_returns r where r.stripe_invoice_id = v_invoice_id;
  if p_version <> coalesce(v_known.version, 0) then
    return jsonb_build_object('outcome', 'refetch', 'version', coalesce(v_known.version, 0));
  elsif not private.record_stripe_event(p_event) then
    return jsonb_build_object('outcome', 'duplicate');
  elsif (coalesce(v_known.returned, 0), coalesce(v_known.total, v_total)) = (v_returned, v_total) then
    return jsonb_build_object('outcome', 'kept');
  end if;
  insert into private.stripe_returns as r (stripe_invoice_id, user_id, returned, total, forgives)
  values (v_invoice_id, v_user_id, v_returned, v_total, p_forgives)
  on conflict (stripe_invoice_id) do update
    set returned = excluded.returned, total = excluded.total, forgives = excluded.forgives, version = r.version + 1,
        updated_at = now();
  perform private.settle_return(v_user_id, v_invoice_id);
  return jsonb_build_object('outcome', 'applied');
end
$$;
grant execute on function public.apply_return(jsonb, boolean, bigint, jsonb) to service_role;
comment on function public.apply_return(jsonb, boolean, bigint, jsonb) is
  'Applies how much of an invoice''s money has gone back: {invoice_id, customer_id, returned, total}, fetched when p_version held here; p_forgives writes down what was spent of it. Returns {outcome}: applied, kept, duplicate, unknown_customer, or refetch with the version to fetch for.';
