-- Also with nothing to add: a running stream says that it is still there, and how far it has come.
create or replace function private.extend_generation(
  p_generation public.generations, p_hold public.reservations, p_item jsonb
)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_output bigint := p_item ->> 'output_tokens';
  v_amount bigint := 0;
begin
  if p_hold.status <> 'held' then
    return '{"code": "RESERVATION_SETTLED"}';
  end if;
  if v_output > 0 then
    select case
             when u.suspended_at is not null then 0
             else private.affordable_tokens(v_output, b.remaining, p_generation.output_weight)
           end
      into strict v_output
      from public.balances b left join public.users u on u.id = b.subject_id
     where b.subject_id = p_generation.subject_id;
    v_amount := private.weighted_tokens(p_generation, 0, v_output);
    update public.balances b set reserved = b.reserved + v_amount, updated_at = now()
     where b.subject_id = p_generation.subject_id and v_output > 0;
  end if;
  -- Not at every note, as its expiry is in two indexes.
  if v_output > 0 or p_hold.expires_at < now() + interval '4 minutes' then
    update public.reservations r set amount = r.amount + v_amount, expires_at = now() + interval '5 minutes'
     where r.id = p_hold.id;
  end if;
  update public.generations g
     set provider = coalesce(p_item ->> 'provider', g.provider),
         upstream_id = coalesce(p_item ->> 'upstream_id', g.upstream_id),
         input_seen = coalesce((p_item ->> 'input_seen')::bigint, g.input_seen),
         output_seen = coalesce((p_item ->> 'output_seen')::bigint, g.output_seen),
         input_floor = coalesce((p_item ->> 'input_floor')::bigint, g.input_floor),
         output_floor = coalesce((p_item ->> 'output_floor')::bigint, g.output_floor)
   where g.id = p_generation.id;
  return jsonb_build_object('output_tokens', v_output);
end
$$;
comment on function private.extend_generation(public.generations, public.reservations, jsonb) is
  'Notes how far a running chat request has come, and holds more tokens for it, fewer than asked for where fewer are left; returns {output_tokens}, or RESERVATION_SETTLED. The balance must be locked by the caller.';
