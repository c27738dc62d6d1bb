-- TO DESCRIBE: what changes, and why.

set check_function_bodies = off;

drop function if exists private.close_generation(p_generation generations, p_status text, p_provenance text, p_input bigint, p_output bigint, p_nano_usd bigint);

-- The answer to a chat request is not kept, so it cannot be given again; it must not be paid for again either.
create or replace function private.claim_generation_key(p_user_id uuid, p_item jsonb)
returns text
language plpgsql volatile set search_path = ''
as $$
declare
  v_key constant uuid := private.idempotency_key_hash(p_item ->> 'idempotency_key');
  -- The first 64 bits of what the server has hashed.
  v_request constant bigint := ('x' || left(p_item ->> 'request_hash', 16))::bit(64)::bigint;
begin
  insert into private.idempotency_keys (subject_id, key_hash, request_hash, answer)
  values (p_user_id, v_key, v_request, jsonb_build_object('hold', p_item ->> 'hold'))
  on conflict (subject_id, key_hash) do nothing;
  if found then
    return null;
  end if;
  return (
    select case when k.request_hash = v_request then 'ALREADY_ANSWERED' else 'IDEMPOTENCY_MISMATCH' end
      from private.idempotency_keys k
     where k.subject_id = p_user_id and k.key_hash = v_key
  );
end
$$;
comment on function private.claim_generation_key(uuid, jsonb) is
  'Remembers the idempotency key of a chat request; returns ALREADY_ANSWERED or IDEMPOTENCY_MISMATCH where it was used before.';

-- Ends a running generation: its hold goes, its cost is debited, and where that is more than hold and balance together
-- the rest becomes debt. The caller has locked the balance, and writes the rest of it with write_closed_generations.
create or replace function private.close_generation(
  p_generation public.generations, p_hold public.reservations, p_status text, p_provenance text, p_input bigint,
  p_output bigint, p_nano_usd bigint, out generation public.generations, out hold public.reservations,
  out event public.usage_events, out remaining bigint
)
language plpgsql volatile set search_path = ''
as $$
declare
  v_cost bigint := private.weighted_tokens(p_generation, p_input, p_output);
  v_period integer;
begin
  update public.balances b
     set reserved = b.reserved - p_hold.amount,
         used = b.used + least(v_cost, b.remaining + p_hold.amount),
         debt = b.debt + v_cost - least(v_cost, b.remaining + p_hold.amount),
         updated_at = now()
   where b.subject_id = p_generation.subject_id
  returning b.period, b.remaining into strict v_period, remaining;
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
      p_provenance, v_period, null, now(), now(),
      private.generation_money(p_generation, p_provenance, p_input, p_output, p_nano_usd)
    )::public.usage_events;
  end if;
end
$$;
comment on function private.close_generation(
  public.generations, public.reservations, text, text, bigint, bigint, bigint
) is
  'Settles the hold of a running generation in its balance, and returns both as they are closed, the usage event to record where anything was used, and what remains. The balance must be locked by the caller.';

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

-- The item is one of meter_chat's. The caller has locked the balance, and inserts the hold and the generation.
create or replace function private.reserve_generation(
  p_user_id uuid, p_item jsonb, out answer jsonb, out hold public.reservations, out generation public.generations
)
language plpgsql volatile set search_path = ''
as $$
declare
  v_hold constant uuid := p_item ->> 'hold';
  v_model constant text := p_item ->> 'model';
  v_input constant bigint := p_item ->> 'input_estimate';
  v_wanted constant bigint := p_item ->> 'output_tokens';
  v_remaining bigint;
  v_problem text;
  v_weight public.model_weights;
  v_generation public.generations;
  v_output bigint;
  v_amount bigint;
  v_least bigint;
begin
  select b.remaining into v_remaining from public.balances b where b.subject_id = p_user_id;
  if p_user_id is null and p_item ->> 'google_subject' is not null then
    answer := '{"code": "USER_NOT_FOUND"}';
    return;
  elsif v_remaining is null then
    answer := '{"code": "INVALID_TOKEN"}';
    return;
  end if;
  v_problem := private.credential_problem(
    p_user_id, (p_item ->> 'session_id')::uuid, (p_item ->> 'api_key_id')::uuid, 'chat'
  );
  if v_problem is not null then
    answer := jsonb_build_object('code', v_problem);
    return;
  end if;

  v_weight := private.find_model_weight(v_model);
  v_generation.input_weight := coalesce(v_weight.input_weight, 1);
  v_generation.output_weight := coalesce(v_weight.output_weight, 1);
  -- Some answers, such as embeddings, have no tokens; all others have one at least.
  v_least := private.weighted_tokens(v_generation, v_input, least(v_wanted, 1));
  if v_remaining < v_least then
    answer := jsonb_build_object('code', 'INSUFFICIENT_TOKENS', 'requested', v_least, 'remaining', v_remaining);
    return;
  end if;
  if p_item ->> 'idempotency_key' is not null then
    v_problem := private.claim_generation_key(p_user_id, p_item);
    if v_problem is not null then
      answer := jsonb_build_object('code', v_problem);
      return;
    end if;
  end if;

  v_output := private.affordable_tokens(
    v_wanted, v_remaining - v_input * v_generation.input_weight, v_generation.output_weight
  );
  v_amount := private.weighted_tokens(v_generation, v_input, v_output);
  update public.balances b set reserved = b.reserved + v_amount, updated_at = now()
   where b.subject_id = p_user_id and b.remaining >= v_amount
  returning b.remaining into strict v_remaining;
  answer := jsonb_build_object('output_tokens', v_output, 'remaining', v_remaining);
  hold := row(
    v_hold, p_user_id, v_amount, 'held', v_model, 1, null, now() + interval '5 minutes', now(), null
  )::public.reservations;
  -- With its weights and prices, which hold for all of the request, whatever becomes of the model's.
  generation := row(
    v_hold, p_user_id, p_item ->> 'source', v_model, null, null, v_input, null, null, null, 0, null, 0, now(),
    coalesce((p_item ->> 'streamed')::boolean, false), null, null, 0, 0, v_generation.input_weight,
    v_generation.output_weight, (p_item ->> 'input_price')::numeric, (p_item ->> 'output_price')::numeric,
    (p_item ->> 'request_price')::numeric
  )::public.generations;
end
$$;
comment on function private.reserve_generation(uuid, jsonb) is
  'Reserves the tokens of a chat request in its balance. Returns the answer {output_tokens, remaining}, with the hold and the generation to insert, or {code, …} alone where it is refused. The balance must be locked by the caller.';

-- Only the first settlement counts: one that is sent again finds the hold closed, and gets the same answer.
create or replace function private.settle_generation(
  p_generation public.generations, p_hold public.reservations, p_item jsonb, p_has_pool boolean,
  out answer jsonb, out generation public.generations, out hold public.reservations, out event public.usage_events
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
  p_generation.provider := coalesce(p_item ->> 'provider', p_generation.provider);
  p_generation.upstream_id := coalesce(p_item ->> 'upstream_id', p_generation.upstream_id);
  p_generation.input_floor := coalesce((p_item ->> 'input_floor')::bigint, p_generation.input_floor);
  p_generation.output_floor := coalesce((p_item ->> 'output_floor')::bigint, p_generation.output_floor);

  if p_hold.status = 'held' then
    if v_input + v_output > 0 then
      v_closed := private.close_generation(
        p_generation, p_hold, 'settled', v_provenance, v_input, v_output, v_nano_usd
      );
    else
      -- What was not billed may be asked for again with the same key.
      delete from private.idempotency_keys k
       where k.subject_id = p_generation.subject_id and k.answer = jsonb_build_object('hold', p_generation.id);
      v_closed := private.close_generation(p_generation, p_hold, 'released', null, 0, 0, null);
    end if;
    generation := v_closed.generation;
    hold := v_closed.hold;
    event := v_closed.event;
    answer := jsonb_build_object(
      'tokens_used', private.weighted_tokens(generation, v_input, v_output), 'remaining', v_closed.remaining
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
  end if;
  select jsonb_build_object(
           'tokens_used', private.weighted_tokens(g, g.input_tokens, g.output_tokens),
           'remaining', b.remaining
         )
    into strict answer
    from public.generations g join public.balances b on b.subject_id = g.subject_id
   where g.id = p_generation.id;
end
$$;
comment on function private.settle_generation(public.generations, public.reservations, jsonb, boolean) is
  'Settles a chat request with what it used. Returns the answer {tokens_used, remaining}, and, where this closed its hold, what close_generation does. The balance must be locked by the caller, and the pool, as p_has_pool says, where the hold was given up for lost.';

-- What is not known any more is settled at what was noted of it, and a little more, as something may have come since the
-- last note: a running stream is noted every 512 tokens, so that with half of them neither side is out by more than the
-- other half. Answers that come whole are not noted, and upstream finishes and bills them whatever happens here: they
-- are settled at the whole hold. So is what runs still, when its account ends.
create or replace function private.settle_lost_generations(
  p_subjects uuid[], p_expired_by timestamptz, p_except uuid[] default '{}'
)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_allowance constant bigint := 256;
  v_lost record;
  v_closed record;
  v_seen bigint;
  v_held numeric;
  v_output bigint;
  v_generations public.generations[] := '{}';
  v_holds public.reservations[] := '{}';
  v_events public.usage_events[] := '{}';
begin
  for v_lost in
    select g as generation, r as hold
      from public.reservations r join public.generations g on g.id = r.id
     where r.subject_id = any (p_subjects) and r.status = 'held' and r.expires_at <= p_expired_by
       and r.id <> all (p_except)
     order by r.id
  loop
    v_seen := coalesce((v_lost.generation).output_seen, 0);
    v_held := (v_lost.hold).amount - (v_lost.generation).input_estimate * (v_lost.generation).input_weight;
    v_output := case
      when (v_lost.generation).streamed and (v_lost.hold).expires_at <= now()
        then private.affordable_tokens(v_seen + v_allowance, v_held, (v_lost.generation).output_weight)
      when (v_lost.generation).output_weight > 0 then floor(v_held / (v_lost.generation).output_weight)
      else 0
    end;
    v_closed := private.close_generation(
      v_lost.generation, v_lost.hold, 'lost', 'estimated',
      coalesce((v_lost.generation).input_seen, (v_lost.generation).input_estimate), greatest(v_output, v_seen), null
    );
    v_generations := v_generations || v_closed.generation;
    v_holds := v_holds || v_closed.hold;
    if (v_closed.event).id is not null then
      v_events := v_events || v_closed.event;
    end if;
  end loop;
  if cardinality(v_holds) > 0 then
    perform private.write_closed_generations(v_generations, v_holds, v_events);
  end if;
  return cardinality(v_holds);
end
$$;
comment on function private.settle_lost_generations(uuid[], timestamptz, uuid[]) is
  'Settles generations whose server went away, except those given: streams at what was noted of them and up to 256 tokens more, answers that come whole, and what runs still, at their holds. Returns how many. The balances must be locked by the caller.';

create or replace function private.write_closed_generations(
  p_generations public.generations[], p_holds public.reservations[], p_events public.usage_events[]
)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  update public.reservations r set status = h.status, closed_at = now(), usage_event_id = h.usage_event_id
    from unnest(p_holds) h
   where r.id = h.id;
  update public.generations g
     set provenance = c.provenance, input_tokens = c.input_tokens, output_tokens = c.output_tokens,
         provider = c.provider, upstream_id = c.upstream_id, input_floor = c.input_floor,
         output_floor = c.output_floor, reconcile_at = c.reconcile_at
    from unnest(p_generations) c
   where g.id = c.id;
  if cardinality(p_events) > 0 then
    perform private.record_usage_events(p_events);
  end if;
end
$$;
comment on function private.write_closed_generations(
  public.generations[], public.reservations[], public.usage_events[]
) is 'Writes what close_generation returned, for all of them at once.';

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

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261128000815', '83dab3090948853bf80eeaced8c8b98b1ba21f4baf22a8de328d36bccf9c168c');
