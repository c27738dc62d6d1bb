-- Items are taken per device in the order given, each sees what the ones before it left, and each gets an outcome of its
-- own. Devices are locked in id order, so concurrent calls cannot deadlock.
create or replace function public.meter_devices(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of balances, events, rollups and holds; no API role may write them itself.
declare
  v_item record;
  v_device uuid;
  v_available bigint;
  v_reserved bigint;
  v_used bigint;
  v_charge bigint;
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_keys text[] := '{}';
  v_key_positions integer[] := '{}';
  v_earlier private.idempotency_keys;
  v_hash bytea;
  v_position integer;
  v_id uuid;
  v_write uuid[];
  v_events public.usage_events[] := '{}';
  v_holds public.reservations[] := '{}';
  v_settled uuid[] := '{}';
  v_settled_events uuid[] := '{}';
  v_released bigint[] := '{}';
  v_stored private.idempotency_keys[] := '{}';
begin
  select array_agg(distinct i.device_id) into v_write
    from jsonb_to_recordset(p_items) as i(op text, device_id uuid, reserve boolean)
   where i.op = 'debit' or i.reserve
      or exists (
        select from public.balances b
         where b.subject_id = i.device_id and b.period < (select max(p.number) from public.periods p)
      )
      or exists (
        select from public.reservations r
         where r.subject_id = i.device_id and r.status = 'held' and r.expires_at <= now()
      );
  if v_write is not null then
    perform from public.balances b where b.subject_id = any (v_write) order by b.subject_id for update;
    perform private.enter_period(v_write);
    perform private.expire_reservations(v_write);
  end if;

  for v_item in
    select i.ord::integer as ord, i.op, i.device_id, i.prompt_count, coalesce(i.reserve, false) as reserve,
           i.key, i.reservation_id, i.model,
           d.id is not null and d.token_version = i.token_version as known, d.blocked, d.user_id, o.suspended_at,
           b.allocated, b.used, b.reserved, b.period,
           coalesce(c.cost, standard.cost, 1)::bigint * i.prompt_count as cost,
           r.status as hold_status, r.amount as hold_amount,
           k.request_hash as earlier_hash, k.answer as earlier_answer
      from (
        select ord, op, device_id, token_version, lower(btrim(model)) as model, prompt_count, reserve, key, reservation_id
          from rows from (
            jsonb_to_recordset(p_items) as (
              op text, device_id uuid, token_version integer, model text, prompt_count integer,
              reserve boolean, key text, reservation_id uuid
            )
          ) with ordinality as item(op, device_id, token_version, model, prompt_count, reserve, key, reservation_id, ord)
      ) i
      left join public.devices d on d.id = i.device_id
      left join public.users o on o.id = d.user_id
      left join public.balances b on b.subject_id = d.id
      left join public.model_costs c on c.model = i.model
      left join public.model_costs standard on standard.model = '*'
      left join public.reservations r on r.id = i.reservation_id and r.subject_id = i.device_id
      left join private.idempotency_keys k on k.subject_id = i.device_id and k.key = i.key
     order by i.device_id, i.ord
  loop
    if v_device is distinct from v_item.device_id then
      v_device := v_item.device_id;
      v_available := v_item.allocated - v_item.used - v_item.reserved;
      v_reserved := v_item.reserved;
      v_used := v_item.used;
      v_keys := '{}';
      v_key_positions := '{}';
    end if;

    v_hash := null;
    v_answer := case
      when not v_item.known then '{"code": "INVALID_TOKEN"}'::jsonb
      when v_item.blocked then '{"code": "DEVICE_BLOCKED"}'::jsonb
      when v_item.suspended_at is not null then '{"code": "ACCOUNT_SUSPENDED"}'::jsonb
    end;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item.key is not null then
      v_hash := sha256(convert_to(
        jsonb_build_array(v_item.op, v_item.reserve, v_item.model, v_item.prompt_count, v_item.reservation_id)::text, 'UTF8'
      ));
      v_earlier := row(v_device, v_item.key, v_item.earlier_hash, v_item.earlier_answer, null);
      v_position := array_position(v_keys, v_item.key);
      if v_position is not null then
        v_earlier := v_stored[v_key_positions[v_position]];
      end if;
      v_answer := case
        when v_earlier.request_hash is null then null
        when v_earlier.request_hash = v_hash then v_earlier.answer
        else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
      end;
    end if;

    if v_answer is null and v_item.op = 'balance' then
      v_answer := jsonb_build_object(
        'allocated', v_item.allocated, 'used', v_used, 'reserved', v_reserved, 'remaining', v_available
      );
    elsif v_answer is null and v_item.op = 'check' then
      v_answer := jsonb_build_object(
        'can_use', v_available >= v_item.cost, 'tokens_needed', v_item.cost, 'remaining', v_available
      );
      if v_item.reserve and v_available >= v_item.cost then
        v_id := gen_random_uuid();
        v_holds := v_holds || row(
          v_id, v_device, v_item.cost, 'held', v_item.model, v_item.prompt_count, null,
          now() + interval '10 minutes', now(), null
        )::public.reservations;
        v_available := v_available - v_item.cost;
        v_reserved := v_reserved + v_item.cost;
        v_answer := v_answer || jsonb_build_object(
          'remaining', v_available, 'reservation_id', v_id, 'expires_at', now() + interval '10 minutes'
        );
      end if;
    elsif v_answer is null and v_item.op = 'debit' then
      -- An expired hold guarantees nothing: its usage is debited like any other.
      v_charge := case
        when v_item.hold_status = 'held' and v_item.reservation_id <> all (v_settled) then v_item.hold_amount
        else 0
      end;
      v_answer := case
        when v_item.reservation_id is not null and v_item.hold_status is null
          then '{"code": "RESERVATION_NOT_FOUND"}'::jsonb
        when v_item.hold_status = 'settled' or v_item.reservation_id = any (v_settled)
          then '{"code": "RESERVATION_SETTLED"}'::jsonb
        when v_available + v_charge < v_item.cost
          then jsonb_build_object(
            'code', 'INSUFFICIENT_TOKENS', 'requested', v_item.cost, 'remaining', v_available + v_charge
          )
      end;
      if v_answer is null then
        v_id := gen_random_uuid();
        v_events := v_events || row(
          v_id, v_device, v_item.user_id, v_device, 'device', 'unknown', v_item.model, v_item.prompt_count,
          0, 0, 0, v_item.cost, 'client_reported', v_item.period, null, now(), now(), null
        )::public.usage_events;
        if v_item.hold_status = 'held' then
          v_settled := v_settled || v_item.reservation_id;
          v_settled_events := v_settled_events || v_id;
          v_released := v_released || v_charge;
        end if;
        v_available := v_available + v_charge - v_item.cost;
        v_reserved := v_reserved - v_charge;
        v_used := v_used + v_item.cost;
        v_answer := jsonb_build_object('event_id', v_id, 'tokens_used', v_item.cost, 'remaining', v_available);
      end if;
    elsif v_answer is null then
      raise exception 'unknown metering operation %', v_item.op using errcode = '22023';
    end if;

    -- Only what took effect is remembered: a refused write moved nothing and may be tried again.
    if v_hash is not null and v_earlier.request_hash is null
       and (v_answer ? 'event_id' or v_answer ? 'reservation_id') then
      v_stored := v_stored || row(v_device, v_item.key, v_hash, v_answer, now())::private.idempotency_keys;
      v_keys := v_keys || v_item.key;
      v_key_positions := v_key_positions || cardinality(v_stored);
    end if;
    v_answers[v_item.ord] := v_answer;
  end loop;

  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  if cardinality(v_holds) > 0 then
    insert into public.reservations select h.* from unnest(v_holds) h;
  end if;
  if cardinality(v_settled) > 0 then
    update public.reservations r
       set status = 'settled', closed_at = now(), usage_event_id = s.event_id
      from unnest(v_settled, v_settled_events) as s(id, event_id)
     where r.id = s.id;
  end if;
  if cardinality(v_stored) > 0 then
    insert into private.idempotency_keys select k.* from unnest(v_stored) k;
  end if;

  update public.balances b
     set used = b.used + change.used, reserved = b.reserved + change.reserved, updated_at = now()
    from (
      select subject_id, sum(used)::bigint as used, sum(reserved)::bigint as reserved
        from (
          select e.subject_id, e.cost as used, 0 as reserved from unnest(v_events) e
          union all
          select h.subject_id, 0, h.amount from unnest(v_holds) h
          union all
          select r.subject_id, 0, -released.amount
            from unnest(v_settled, v_released) as released(id, amount)
            join public.reservations r on r.id = released.id
        ) parts
       group by subject_id
    ) change
   where b.subject_id = change.subject_id;

  return to_jsonb(v_answers);
end
$$;
grant execute on function public.meter_devices(jsonb) to service_role;
comment on function public.meter_devices(jsonb) is
  'Makes balance reads, checks, holds and debits of devices in one transaction. Takes an array of {op, device_id, token_version, model, prompt_count, reserve, key, reservation_id}, returns an array of outcomes in the same order: the result, or {code, …} where the item was refused.';
