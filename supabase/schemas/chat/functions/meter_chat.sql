create or replace function public.meter_chat(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
-- A session keeps its plans, also those it made while the tables were small, when reading them whole looked cheapest.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
-- Definer: the only writer of generations; no API role may write balances, holds or events itself.
declare
  v_count constant integer := jsonb_array_length(p_items);
  v_item jsonb;
  v_op text;
  v_hold uuid;
  v_subject uuid;
  v_subjects uuid[];
  v_is_late boolean;
  v_has_late boolean := false;
  v_has_lost boolean;
  v_balances public.balances[];
  v_owners uuid[];
  v_position integer;
  v_balance public.balances;
  v_amount bigint;
  v_has_changed boolean := false;
  v_refused uuid[];
  v_refused_price bigint[];
  v_running record;
  v_reserved record;
  v_noted record;
  v_settled record;
  v_answers jsonb[] := array_fill(null::jsonb, array[v_count]);
  v_new_holds public.reservations[];
  v_new_generations public.generations[];
  v_changed_ids uuid[];
  v_noted_generations public.generations[];
  v_closed_holds public.reservations[];
  v_closed_generations public.generations[];
  v_events public.usage_events[];
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
  select coalesce(bool_or(l.has_lost), false), array_agg(l.subject_id), array_agg(l.balance)
    into v_has_lost, v_owners, v_balances
    from (
      select b.subject_id, b as balance, exists (
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
    v_balances := array(select b from public.balances b where b.subject_id = any (v_owners) order by b.subject_id);
  end if;

  for v_at in 1 .. v_count loop
    v_item := p_items -> v_at - 1;
    v_op := v_item ->> 'op';
    v_hold := v_item ->> 'hold';
    v_position := array_position(v_owners, v_subjects[v_at]);
    v_balance := v_balances[v_position];
    v_amount := 0;
    if v_op = 'reserve' then
      v_reserved := private.reserve_generation(v_subjects[v_at], v_balance, v_item);
      v_answers[v_at] := v_reserved.answer;
      if (v_reserved.hold).id is not null then
        v_amount := (v_reserved.hold).amount;
        v_new_holds := v_new_holds || v_reserved.hold;
        v_new_generations := v_new_generations || v_reserved.generation;
      elsif v_reserved.answer ->> 'code' = 'INSUFFICIENT_TOKENS' then
        v_refused := v_refused || v_subjects[v_at];
        v_refused_price := v_refused_price || (v_reserved.answer ->> 'requested')::bigint;
      end if;
    else
      -- Another item about a hold that was just noted or closed has to find it so.
      if v_hold = any (v_changed_ids) then
        perform private.write_noted_generations(v_noted_generations);
        perform private.write_closed_generations(v_closed_generations, v_closed_holds, v_events);
        v_changed_ids := null;
        v_noted_generations := null;
        v_closed_generations := null;
        v_closed_holds := null;
        v_events := null;
      end if;
      select g as generation, r as hold into v_running
        from public.generations g join public.reservations r on r.id = g.id
       where g.id = v_hold;
      if not found then
        v_answers[v_at] := '{"code": "RESERVATION_NOT_FOUND"}';
      elsif v_op = 'extend' then
        v_noted := private.note_generation(v_balance, v_running.generation, v_running.hold, v_item);
        v_answers[v_at] := v_noted.answer;
        if (v_noted.generation).id is not null then
          v_amount := v_noted.amount;
          v_changed_ids := v_changed_ids || v_hold;
          v_noted_generations := v_noted_generations || v_noted.generation;
        end if;
      elsif v_op = 'settle' then
        v_settled := private.settle_generation(v_balance, v_running.generation, v_running.hold, v_item, v_has_late);
        v_answers[v_at] := v_settled.answer;
        if (v_settled.hold).id is not null then
          v_changed_ids := v_changed_ids || v_hold;
          v_closed_generations := v_closed_generations || v_settled.generation;
          v_closed_holds := v_closed_holds || v_settled.hold;
        end if;
        if (v_settled.event).id is not null then
          v_events := v_events || v_settled.event;
        end if;
        v_balance := v_settled.balance;
        v_has_changed := true;
      else
        raise exception 'unknown metering operation %', v_op using errcode = '22023';
      end if;
    end if;

    if v_amount > 0 then
      v_balance.reserved := v_balance.reserved + v_amount;
      v_balance.remaining := v_balance.remaining - v_amount;
      v_has_changed := true;
      -- What is corrected is corrected where it is written.
      if v_has_late then
        perform private.write_balances(array[v_balance]);
      end if;
    end if;
    if v_position is not null then
      v_balances[v_position] := v_balance;
    end if;
  end loop;

  if v_has_changed then
    perform private.write_balances(v_balances);
  end if;
  if cardinality(v_refused) > 0 then
    -- Only now the balances are what the refused items found.
    perform private.note_refusal(r.subject_id, r.price)
      from unnest(v_refused, v_refused_price) with ordinality as r(subject_id, price, ord) order by r.ord;
  end if;
  if cardinality(v_new_holds) > 0 then
    insert into public.reservations select h.* from unnest(v_new_holds) h;
    insert into public.generations select g.* from unnest(v_new_generations) g;
  end if;
  if cardinality(v_noted_generations) > 0 then
    perform private.write_noted_generations(v_noted_generations);
  end if;
  if cardinality(v_closed_generations) > 0 then
    perform private.write_closed_generations(v_closed_generations, v_closed_holds, v_events);
  end if;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.meter_chat(jsonb) to service_role;
comment on function public.meter_chat(jsonb) is
  'Takes, extends and settles holds of chat requests in one transaction. Takes an array of {op: reserve, id, session_id | api_key_id or google_subject, hold, source, model, streamed, input_estimate, output_tokens, input_price, output_price, request_price, idempotency_key, request_hash}, {op: extend, hold, output_tokens, input_seen, output_seen, input_floor, output_floor, provider, upstream_id} and {op: settle, hold, input_tokens, output_tokens, provenance, nano_usd, input_floor, output_floor, provider, upstream_id}; returns an array in the same order: {output_tokens, remaining}, {output_tokens}, {tokens_used, remaining}, or {code, …} where the item was refused.';
