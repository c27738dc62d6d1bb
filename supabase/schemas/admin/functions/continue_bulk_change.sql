-- One chunk a call, thus a transaction: debits and others who change the pool come in between. Calls at once do different chunks.
create or replace function public.continue_bulk_change(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: changes devices, accounts and balances, which no API role may.
begin
  perform private.require_admin(p_actor);
  perform private.start_bulk_change(p_actor, p_id);
  perform private.do_bulk_chunk(p_actor, p_id);
  return private.bulk_change_json(p_id);
end
$$;
grant execute on function public.continue_bulk_change(jsonb, uuid) to service_role;
comment on function public.continue_bulk_change(jsonb, uuid) is
  'Does the next hundred of a bulk change, each of whom is changed, refused, or skipped where it matches no more; nothing where none is left or it was stopped. Returns what bulk_change_json returns; raises BULK_CHANGE_NOT_FOUND.';
