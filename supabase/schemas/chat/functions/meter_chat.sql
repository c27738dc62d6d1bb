create or replace function public.meter_chat(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
-- Definer: the only writer of generations; no API role may write balances, holds or events itself.
declare
  v_count constant integer := jsonb_array_length(p_items);
  v_item jsonb;
  v_op text;
  v_hold uuid;
  v_subject uuid;
  v_subjects uuid[] := '{}';
  v_is_late boolean;
  v_has_late boolean := false;
  v_has_lost boolean;
  v_running record;
  v_reserved record;
  v_settled record;
  v_answers jsonb[] := array_fill(null::jsonb, array[v_count]);
  v_new_holds public.reservations[] := '{}';
  v_new_generations public.generations[] := '{}';
  v_closed_ids uuid[] := '{}';
  v_closed_holds public.reservations[] := '{}';
  v_closed_generations public.generations[] := '{}';
  v_events public.usage_events[] := '{}';
begin
  -- Whose balance each item is about.
  for v_at in 1 .. v_count loop
    v_item := p_items -> v_at - 1;
    v_subject := v_item ->> 'id';
    v_hold := v_item ->> 'hold';
    if v_item ->> 'op' <> 'reserve' then
      select g.subject_id, g.provenance = 'estimated' and v_item ->> 'op' = 'settle' into v_subject, v_is_late
        from public.generations g where g.id = v_hold;
      v_has_late := v_has_late or v_is_late is true;
    elsif v_subject is null then
      select e.user_id into v_subject from private.external_identities e
       where e.provider = 'google' and e.subject = v_item ->> 'google_subject';
    end if;
    v_subjects[v_at] := v_subject;
  end loop;

  -- What was given up for lost is corrected, which takes the pool, and the pool comes before the balances.
  if v_has_late then
    perform from public.budgets where subject_kind = 'user' for update;
  end if;
  select coalesce(bool_or(l.has_lost), false) into v_has_lost
    from (
      select exists (
               select from public.reservations r
                where r.subject_id = b.subject_id and r.status = 'held' and r.expires_at <= now()
             ) as has_lost
        from public.balances b
       where b.subject_id = any (v_subjects)
       order by b.subject_id
         for update
    ) l;
  if v_has_lost then
    -- A server that comes back late knows better what its stream came to than the hold does.
    perform private.settle_lost_generations(
      v_subjects, now(), array(select (i ->> 'hold')::uuid from jsonb_array_elements(p_items) i)
    );
  end if;

  for v_at in 1 .. v_count loop
    v_item := p_items -> v_at - 1;
    v_op := v_item ->> 'op';
    v_hold := v_item ->> 'hold';
    if v_op = 'reserve' then
      v_reserved := private.reserve_generation(v_subjects[v_at], v_item);
      v_answers[v_at] := v_reserved.answer;
      if (v_reserved.hold).id is not null then
        v_new_holds := v_new_holds || v_reserved.hold;
        v_new_generations := v_new_generations || v_reserved.generation;
      end if;
      continue;
    end if;

    -- Another item about a hold that was just closed has to find it so.
    if v_hold = any (v_closed_ids) then
      perform private.write_closed_generations(v_closed_generations, v_closed_holds, v_events);
      v_closed_ids := '{}';
      v_closed_generations := '{}';
      v_closed_holds := '{}';
      v_events := '{}';
    end if;
    select g as generation, r as hold into v_running
      from public.generations g join public.reservations r on r.id = g.id
     where g.id = v_hold;
    if not found then
      v_answers[v_at] := '{"code": "RESERVATION_NOT_FOUND"}';
    elsif v_op = 'extend' then
      v_answers[v_at] := private.extend_generation(v_running.generation, v_running.hold, v_item);
    elsif v_op = 'settle' then
      v_settled := private.settle_generation(v_running.generation, v_running.hold, v_item, v_has_late);
      v_answers[v_at] := v_settled.answer;
      if (v_settled.hold).id is not null then
        v_closed_ids := v_closed_ids || v_hold;
        v_closed_generations := v_closed_generations || v_settled.generation;
        v_closed_holds := v_closed_holds || v_settled.hold;
      end if;
      if (v_settled.event).id is not null then
        v_events := v_events || v_settled.event;
      end if;
    else
      raise exception 'unknown metering operation %', v_op using errcode = '22023';
    end if;
  end loop;

  if cardinality(v_new_holds) > 0 then
    insert into public.reservations select h.* from unnest(v_new_holds) h;
    insert into public.generations select g.* from unnest(v_new_generations) g;
  end if;
  if cardinality(v_closed_ids) > 0 then
    perform private.write_closed_generations(v_closed_generations, v_closed_holds, v_events);
  end if;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.meter_chat(jsonb) to service_role;
comment on function public.meter_chat(jsonb) is
  'Takes, extends and settles holds of chat requests in one transaction. Takes an array of {op: reserve, id, session_id | api_key_id or google_subject, hold, source, model, streamed, input_estimate, output_tokens, input_price, output_price, request_price, idempotency_key, request_hash}, {op: extend, hold, output_tokens, input_seen, output_seen, input_floor, output_floor, provider, upstream_id} and {op: settle, hold, input_tokens, output_tokens, provenance, nano_usd, input_floor, output_floor, provider, upstream_id}; returns an array in the same order: {output_tokens, remaining}, {output_tokens}, {tokens_used, remaining}, or {code, …} where the item was refused.';
