create or replace function public.allocate(
  p_actor jsonb, p_kind text, p_subject_id uuid, p_tokens bigint, p_from_id uuid default null, p_key text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances, pools and the ledger, which no API role may.
begin
  return private.allocate_tokens(private.require_admin_by(p_actor), p_kind, p_subject_id, p_tokens, p_from_id, p_key);
end
$$;
grant execute on function public.allocate(jsonb, text, uuid, bigint, uuid, text) to service_role;
comment on function public.allocate(jsonb, text, uuid, bigint, uuid, text) is
  'Gives tokens from the pool, takes unused ones back (negative), or moves them between two subjects. Returns the balance, with from for a transfer, what both were before, and the ledger entries; raises BUDGET_EXCEEDED, INSUFFICIENT_TOKENS, SELF_TRANSFER, …_NOT_FOUND, IDEMPOTENCY_MISMATCH.';
