-- Ends a running generation: its hold goes, its cost is debited, and where that is more than hold and balance together
-- the rest becomes debt. The caller has locked the balance, and writes it with write_balances, the rest with
-- write_closed_generations.
create or replace function private.close_generation(
  p_balance public.balances, p_generation public.generations, p_hold public.reservations, p_status text,
  p_provenance text, p_input bigint, p_output bigint, p_nano_usd bigint, out balance public.balances,
  out generation public.generations, out hold public.reservations, out event public.usage_events
)
language plpgsql volatile set search_path = ''
as $$
declare
  v_cost bigint := private.weighted_tokens(p_generation, p_input, p_output);
  v_paid bigint := least(v_cost, p_balance.remaining + p_hold.amount);
begin
  balance := p_balance;
  balance.reserved := balance.reserved - p_hold.amount;
  balance.used := balance.used + v_paid;
  balance.debt := balance.debt + v_cost - v_paid;
  balance.remaining := balance.remaining + p_hold.amount - v_paid;
  hold := p_hold;
  hold.status := p_status;
  generation := p_generation;
  generation.provenance := p_provenance;
  generation.input_tokens := p_input;
  generation.output_tokens := p_output;
  generation.reconcile_at := case when p_provenance = 'estimated' and p_generation.upstream_id is not null then now() end;
  if p_input + p_output > 0 then
    hold.usage_event_id := p_generation.id;
    event := row(
      p_generation.id, p_generation.subject_id, p_generation.subject_id, null, p_generation.source,
      coalesce(p_generation.provider, 'unknown'), p_generation.model, 1, p_input, p_output, p_input + p_output, v_cost,
      p_provenance, p_balance.period, null, now(), now(),
      private.generation_money(p_generation, p_provenance, p_input, p_output, p_nano_usd)
    )::public.usage_events;
  end if;
end
$$;
comment on function private.close_generation(
  public.balances, public.generations, public.reservations, text, text, bigint, bigint, bigint
) is
  'Settles the hold of a running generation in its balance, and returns all three as they are then, with the usage event to record where anything was used. The balance must be locked by the caller, who writes them.';
