create or replace function public.set_budget(p_actor jsonb, p_kind text, p_total bigint default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes the pools, which no API role may.
begin
  return private.resize_pool(private.require_admin_by(p_actor), p_kind, p_total);
end
$$;
grant execute on function public.set_budget(jsonb, text, bigint) to service_role;
comment on function public.set_budget(jsonb, text, bigint) is
  'Sets the size of a pool, null for unlimited. One smaller than what is allocated only stops further allocations.';
