create or replace function public.verify_month_as(p_actor jsonb, p_month text)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: verify_month reads every event.
begin
  perform private.require_admin(p_actor);
  return public.verify_month(p_month);
end
$$;
grant execute on function public.verify_month_as(jsonb, text) to service_role;
comment on function public.verify_month_as(jsonb, text) is 'Runs verify_month for an admin; raises MONTH_NOT_SEALED.';
