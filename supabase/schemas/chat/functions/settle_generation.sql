-- Only the first settlement counts: one that is sent again finds the hold closed, and gets the same answer.
create or replace function private.settle_generation(
  p_balance public.balances, p_generation public.generations, p_hold public.reservations, p_item jsonb,
  p_has_pool boolean, out answer jsonb, out balance public.balances, out generation public.generations,
  out hold public.reservations, out event public.usage_events
)
language plpgsql volatile set search_path = ''
as $$
declare
  v_input constant bigint := p_item ->> 'input_tokens';
  v_output constant bigint := p_item ->> 'output_tokens';
  v_nano_usd constant bigint := p_item ->> 'nano_usd';
  v_provenance constant text := p_item ->> 'provenance';
  v_closed record;
begin
  balance := p_balance;
  p_generation.provider := coalesce(p_item ->> 'provider', p_generation.provider);
  p_generation.upstream_id := coalesce(p_item ->> 'upstream_id', p_generation.upstream_id);
  p_generation.input_floor := coalesce((p_item ->> 'input_floor')::bigint, p_generation.input_floor);
  p_generation.output_floor := coalesce((p_item ->> 'output_floor')::bigint, p_generation.output_floor);

  if p_hold.status = 'held' then
    if v_input + v_output > 0 then
      v_closed := private.close_generation(
        p_balance, p_generation, p_hold, 'settled', v_provenance, v_input, v_output, v_nano_usd
      );
    else
      -- What was not billed may be asked for again with the same key.
      delete from private.idempotency_keys k
       where k.subject_id = p_generation.subject_id and k.answer = jsonb_build_object('hold', p_generation.id);
      v_closed := private.close_generation(p_balance, p_generation, p_hold, 'released', null, 0, 0, null);
    end if;
    balance := v_closed.balance;
    -- What is left where debt is paid is known once that is written, and a correction builds on what is written.
    if balance.debt > 0 or p_has_pool then
      perform private.write_balances(array[balance]);
      select b.* into strict balance from public.balances b where b.subject_id = balance.subject_id;
    end if;
    generation := v_closed.generation;
    hold := v_closed.hold;
    event := v_closed.event;
    answer := jsonb_build_object(
      'tokens_used', private.weighted_tokens(generation, v_input, v_output), 'remaining', balance.remaining
    );
    return;
  end if;

  if p_hold.status = 'lost' and p_generation.provenance = 'estimated'
    and exists (select from public.users u where u.id = p_generation.subject_id) then
    -- A server that was out of reach for long knows what its stream came to; what it was settled at is an estimate.
    if not p_has_pool then
      raise sqlstate '40001' using message = 'a hold was given up for lost at the same time';
    end if;
    p_generation.reconcile_at := case
      when v_provenance = 'estimated' and p_generation.upstream_id is not null then now()
    end;
    perform private.change_settlement(
      p_generation, v_provenance, v_input, v_output, v_nano_usd, 'system:late_settlement'
    );
    update public.reservations r set status = 'settled' where r.id = p_hold.id;
    select b.* into strict balance from public.balances b where b.subject_id = p_generation.subject_id;
  end if;
  select jsonb_build_object(
           'tokens_used', private.weighted_tokens(g, g.input_tokens, g.output_tokens), 'remaining', balance.remaining
         )
    into strict answer
    from public.generations g where g.id = p_generation.id;
end
$$;
comment on function private.settle_generation(
  public.balances, public.generations, public.reservations, jsonb, boolean
) is
  'Settles a chat request with what it used. Returns the answer {tokens_used, remaining}, and, where this closed its hold, what close_generation does. The balance must be locked by the caller, and the pool, as p_has_pool says, where the hold was given up for lost.';
