-- Also with nothing to add: a running stream says that it is still there, and how far it has come. The caller writes the
-- generation with write_noted_generations, and takes the amount from the balance.
create or replace function private.note_generation(
  p_balance public.balances, p_generation public.generations, p_hold public.reservations, p_item jsonb,
  out answer jsonb, out generation public.generations, out amount bigint
)
language plpgsql volatile set search_path = ''
as $$
declare
  v_output bigint := p_item ->> 'output_tokens';
begin
  amount := 0;
  if p_hold.status <> 'held' then
    answer := '{"code": "RESERVATION_SETTLED"}';
    return;
  end if;
  if v_output > 0 then
    if exists (select from public.users u where u.id = p_balance.subject_id and u.suspended_at is not null) then
      v_output := 0;
    else
      v_output := private.affordable_tokens(v_output, p_balance.remaining, p_generation.output_weight);
    end if;
    amount := private.weighted_tokens(p_generation, 0, v_output);
  end if;
  -- Not at every note, as its expiry is in two indexes.
  if v_output > 0 or p_hold.expires_at < now() + interval '4 minutes' then
    update public.reservations r set amount = r.amount + note_generation.amount, expires_at = now() + interval '5 minutes'
     where r.id = p_hold.id;
  end if;
  generation := p_generation;
  generation.provider := coalesce(p_item ->> 'provider', generation.provider);
  generation.upstream_id := coalesce(p_item ->> 'upstream_id', generation.upstream_id);
  generation.input_seen := coalesce((p_item ->> 'input_seen')::bigint, generation.input_seen);
  generation.output_seen := coalesce((p_item ->> 'output_seen')::bigint, generation.output_seen);
  generation.input_floor := coalesce((p_item ->> 'input_floor')::bigint, generation.input_floor);
  generation.output_floor := coalesce((p_item ->> 'output_floor')::bigint, generation.output_floor);
  answer := jsonb_build_object('output_tokens', v_output);
end
$$;
comment on function private.note_generation(public.balances, public.generations, public.reservations, jsonb) is
  'Holds more tokens for a running chat request, fewer than asked for where fewer are left. Returns the answer {output_tokens}, the generation with how far it has come, and the amount its hold grew by, or RESERVATION_SETTLED alone. The balance must be locked by the caller, who takes the amount from it.';
