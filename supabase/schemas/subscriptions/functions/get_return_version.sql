create or replace function public.get_return_version(p_invoice_id text)
returns bigint
language sql stable security definer set search_path = ''
as $$
  -- Definer: reads what no API role may.
  select coalesce((select r.version from private.stripe_returns r where r.stripe_invoice_id = p_invoice_id), 0)
$$;
grant execute on function public.get_return_version(text) to service_role;
comment on function public.get_return_version(text) is
  'Returns the version of what is known of an invoice''s returned money, to fetch what Stripe says for; 0 where nothing is.';
