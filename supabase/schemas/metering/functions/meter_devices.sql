-- Items are taken per device in the order given, each sees what the ones before it left, and each gets an outcome of its
-- own. Devices are locked in id order, so concurrent calls cannot deadlock. What the items did is written at the end, for
-- all of them at once.
create or replace function public.meter_devices(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
-- Definer: the only writer of balances, events, rollups and holds; no API role may write them itself.
declare
  v_count constant integer := jsonb_array_length(p_items);
  v_order integer[] := '{1}';
  v_at integer;
  v_item jsonb;
  v_op text;
  v_model text;
  v_prompts integer;
  v_reserves boolean;
  v_device record;
  v_device_id uuid;
  v_available bigint;
  v_reserved bigint;
  v_used bigint;
  v_priced_model text;
  v_price integer;
  v_cost bigint;
  v_key uuid;
  v_request_hash bigint;
  v_first_key integer;
  v_position integer;
  v_hold public.reservations;
  v_is_held boolean;
  v_released bigint;
  v_event_id uuid;
  v_answer jsonb;
  v_answers jsonb[] := array_fill(null::jsonb, array[v_count]);
  v_changed uuid[] := '{}';
  v_used_changes bigint[] := '{}';
  v_reserved_changes bigint[] := '{}';
  v_events public.usage_events[] := '{}';
  v_holds public.reservations[] := '{}';
  v_settled uuid[] := '{}';
  v_settled_by uuid[] := '{}';
  v_keys private.idempotency_keys[] := '{}';
  v_key_hashes uuid[] := '{}';
  v_key_answers jsonb[] := '{}';
begin
  if p_items @? '$[*] ? (@.op == "debit" || @.reserve == true)' then
    perform from public.balances b
      where b.subject_id = any (array(
        select (i ->> 'device_id')::uuid from jsonb_array_elements(p_items) i
         where i ->> 'op' = 'debit' or (i ->> 'reserve')::boolean
      ))
      order by b.subject_id for update;
  end if;
  if v_count > 1 then
    v_order := array(
      select i.ord from jsonb_array_elements(p_items) with ordinality as i(item, ord)
       order by (i.item ->> 'device_id')::uuid, i.ord
    );
  end if;

  foreach v_at in array v_order loop
    v_item := p_items -> v_at - 1;
    if v_device_id is distinct from (v_item ->> 'device_id')::uuid then
      v_device_id := v_item ->> 'device_id';
      select d.token_version, d.blocked, d.user_id, o.suspended_at is not null as suspended, b.period, b.allocated, b.used,
             b.reserved - e.amount as reserved, b.remaining + e.amount as remaining, e.amount > 0 as has_expired_holds
        into v_device
        from public.devices d
        join public.balances b on b.subject_id = d.id
        left join public.users o on o.id = d.user_id
       cross join lateral (
         select coalesce(sum(r.amount), 0)::bigint as amount from public.reservations r
          where r.subject_id = d.id and r.status = 'held' and r.expires_at <= now()
       ) e
       where d.id = v_device_id;
      if v_device.has_expired_holds then
        perform from public.balances b where b.subject_id = v_device_id for update;
        perform private.expire_reservations(array[v_device_id]);
      end if;
      v_available := v_device.remaining;
      v_reserved := v_device.reserved;
      v_used := v_device.used;
      v_first_key := cardinality(v_keys) + 1;
    end if;
    v_op := v_item ->> 'op';
    v_model := lower(btrim(v_item ->> 'model'));
    v_prompts := v_item ->> 'prompt_count';
    v_reserves := coalesce((v_item ->> 'reserve')::boolean, false);

    v_key := null;
    v_answer := case
      when (v_device.token_version = (v_item ->> 'token_version')::integer) is not true
        then '{"code": "INVALID_TOKEN"}'::jsonb
      when v_device.blocked then '{"code": "DEVICE_BLOCKED"}'::jsonb
      when v_device.suspended then '{"code": "ACCOUNT_SUSPENDED"}'::jsonb
    end;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item ->> 'key' is not null then
      v_key := private.idempotency_key_hash(v_item ->> 'key');
      v_request_hash := private.request_hash(
        jsonb_build_array(v_op, v_reserves, v_model, v_prompts, (v_item ->> 'reservation_id')::uuid)
      );
      v_position := array_position(v_key_hashes, v_key, v_first_key);
      v_answer := case
        when v_position is null then private.replayed_answer(v_device_id, v_key, v_request_hash)
        when v_keys[v_position].request_hash = v_request_hash then v_key_answers[v_position]
        else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
      end;
    end if;

    if v_answer is null and v_op = 'balance' then
      v_answer := jsonb_build_object(
        'allocated', v_device.allocated, 'used', v_used, 'reserved', v_reserved, 'remaining', v_available
      );
    end if;
    if v_answer is not null then
      v_answers[v_at] := v_answer;
      continue;
    end if;

    if v_priced_model is distinct from v_model then
      v_priced_model := v_model;
      v_price := private.model_cost(v_model);
    end if;
    v_cost := v_price::bigint * v_prompts;
    v_hold := null;
    v_event_id := null;

    if v_op = 'check' and v_reserves and v_available >= v_cost then
      v_hold := row(
        gen_random_uuid(), v_device_id, v_cost, 'held', v_model, v_prompts, null,
        now() + interval '10 minutes', now(), null
      )::public.reservations;
      v_holds := v_holds || v_hold;
      v_available := v_available - v_cost;
      v_reserved := v_reserved + v_cost;
      v_answer := jsonb_build_object(
        'can_use', true, 'tokens_needed', v_cost, 'remaining', v_available,
        'reservation_id', v_hold.id, 'expires_at', v_hold.expires_at
      );
    elsif v_op = 'check' then
      v_answers[v_at] := jsonb_build_object(
        'can_use', v_available >= v_cost, 'tokens_needed', v_cost, 'remaining', v_available
      );
      continue;
    elsif v_op = 'debit' then
      if v_item ->> 'reservation_id' is not null then
        select r.* into v_hold from public.reservations r
         where r.id = (v_item ->> 'reservation_id')::uuid and r.subject_id = v_device_id;
        if not found then
          v_answer := '{"code": "RESERVATION_NOT_FOUND"}';
        elsif v_hold.status = 'settled' or v_hold.id = any (v_settled) then
          v_answer := '{"code": "RESERVATION_SETTLED"}';
        end if;
      end if;
      -- An expired hold guarantees nothing: its usage is debited like any other.
      v_is_held := v_hold.status = 'held' and v_hold.expires_at > now();
      v_released := case when v_is_held then v_hold.amount else 0 end;
      if v_answer is null and v_available + v_released < v_cost then
        v_answer := jsonb_build_object(
          'code', 'INSUFFICIENT_TOKENS', 'requested', v_cost, 'remaining', v_available + v_released
        );
      end if;
      if v_answer is not null then
        v_answers[v_at] := v_answer;
        continue;
      end if;
      v_event_id := case
        when v_key is null then gen_random_uuid() else private.keyed_event_id(v_device_id, v_key, now())
      end;
      v_events := v_events || row(
        v_event_id, v_device_id, v_device.user_id, v_device_id, 'device', 'unknown', v_model, v_prompts,
        0, 0, 0, v_cost, 'client_reported', v_device.period, null, now(), now(), null
      )::public.usage_events;
      if v_is_held then
        v_settled := v_settled || v_hold.id;
        v_settled_by := v_settled_by || v_event_id;
      end if;
      v_available := v_available + v_released - v_cost;
      v_reserved := v_reserved - v_released;
      v_used := v_used + v_cost;
      v_answer := jsonb_build_object('event_id', v_event_id, 'tokens_used', v_cost, 'remaining', v_available);
    else
      raise exception 'unknown metering operation %', v_op using errcode = '22023';
    end if;

    -- Only what took effect comes here, and is remembered: a refused write moved nothing and may be tried again.
    v_answers[v_at] := v_answer;
    if v_changed[cardinality(v_changed)] is distinct from v_device_id then
      v_changed := v_changed || v_device_id;
    end if;
    v_used_changes[cardinality(v_changed)] := v_used - v_device.used;
    v_reserved_changes[cardinality(v_changed)] := v_reserved - v_device.reserved;
    if v_key is not null then
      v_keys := v_keys || row(
        v_device_id, v_key, v_request_hash, case when v_event_id is null then v_answer end, now(),
        case when v_event_id is not null then v_cost end, case when v_event_id is not null then v_available end
      )::private.idempotency_keys;
      v_key_hashes := v_key_hashes || v_key;
      v_key_answers := v_key_answers || v_answer;
    end if;
  end loop;

  if cardinality(v_changed) > 0 then
    perform private.change_balances(v_changed, v_used_changes, v_reserved_changes);
  end if;
  if cardinality(v_holds) > 0 then
    insert into public.reservations select h.* from unnest(v_holds) h;
  end if;
  if cardinality(v_settled) > 0 then
    update public.reservations r
       set status = 'settled', closed_at = now(), usage_event_id = s.event_id
      from unnest(v_settled, v_settled_by) as s(id, event_id)
     where r.id = s.id;
  end if;
  if cardinality(v_keys) > 0 then
    insert into private.idempotency_keys select k.* from unnest(v_keys) k;
  end if;
  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.meter_devices(jsonb) to service_role;
comment on function public.meter_devices(jsonb) is
  'Makes balance reads, checks, holds and debits of devices in one transaction. Takes an array of {op, device_id, token_version, model, prompt_count, reserve, key, reservation_id}, returns an array of outcomes in the same order: the result, or {code, …} where the item was refused.';
