-- Items are taken per device in the order given, each sees what the ones before it left, and each gets an outcome of its
-- own. Devices are locked in id order, so concurrent calls cannot deadlock. What they did is written at the end, for all
-- items at once.
create or replace function public.meter_devices(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off
as $$
-- Definer: the only writer of balances, events, rollups and holds; no API role may write them itself.
declare
  v_item record;
  v_device public.devices;
  v_balance public.balances;
  v_refusal jsonb;
  v_available bigint;
  v_reserved bigint;
  v_used bigint;
  v_key uuid;
  v_request_hash bigint;
  v_hold public.reservations;
  v_released bigint;
  v_event_id uuid;
  v_answer jsonb;
  v_answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_items)]);
  v_events public.usage_events[] := '{}';
  v_holds public.reservations[] := '{}';
  v_changed uuid[] := '{}';
  v_changed_used bigint[] := '{}';
  v_changed_reserved bigint[] := '{}';
  v_settled uuid[] := '{}';
  v_settled_by uuid[] := '{}';
begin
  for v_item in
    select i.ord::integer as ord, i.op, i.device_id, i.token_version, lower(btrim(i.model)) as model, i.prompt_count,
           coalesce(i.reserve, false) as reserve, i.key, i.reservation_id,
           i.prompt_count * coalesce(
             (select c.cost from public.model_costs c where c.model = lower(btrim(i.model))),
             (select c.cost from public.model_costs c where c.model = '*'), 1
           )::bigint as cost,
           bool_or(i.op = 'debit' or i.reserve) over w as is_written,
           row_number() over w = 1 as is_first, lead(i.ord) over w is null as is_last
      from rows from (
        jsonb_to_recordset(p_items) as (
          op text, device_id uuid, token_version integer, model text, prompt_count integer,
          reserve boolean, key text, reservation_id uuid
        )
      ) with ordinality as i(op, device_id, token_version, model, prompt_count, reserve, key, reservation_id, ord)
    window w as (partition by i.device_id order by i.ord rows between unbounded preceding and unbounded following)
  loop
    if v_item.is_first then
      v_balance := private.open_device_balance(v_item.device_id, v_item.is_written);
      select d.* into v_device from public.devices d where d.id = v_item.device_id;
      v_refusal := case
        when v_device.id is null then '{"code": "INVALID_TOKEN"}'::jsonb
        when v_device.blocked then '{"code": "DEVICE_BLOCKED"}'::jsonb
        when v_device.user_id is not null and exists (
          select from public.users u where u.id = v_device.user_id and u.suspended_at is not null
        ) then '{"code": "ACCOUNT_SUSPENDED"}'::jsonb
      end;
      v_available := v_balance.remaining;
      v_reserved := v_balance.reserved;
      v_used := v_balance.used;
    end if;

    v_key := null;
    v_answer := case
      when v_device.token_version is distinct from v_item.token_version then '{"code": "INVALID_TOKEN"}'::jsonb
      else v_refusal
    end;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item.key is not null then
      v_key := private.idempotency_key_hash(v_item.key);
      v_request_hash := private.request_hash(
        jsonb_build_array(v_item.op, v_item.reserve, v_item.model, v_item.prompt_count, v_item.reservation_id)
      );
      v_answer := private.replayed_answer(v_device.id, v_key, v_request_hash);
    end if;

    if v_answer is not null then
      null;
    elsif v_item.op = 'balance' then
      v_answer := jsonb_build_object(
        'allocated', v_balance.allocated, 'used', v_used, 'reserved', v_reserved, 'remaining', v_available
      );
    elsif v_item.op = 'check' and v_item.reserve and v_available >= v_item.cost then
      v_hold := row(
        gen_random_uuid(), v_device.id, v_item.cost, 'held', v_item.model, v_item.prompt_count, null,
        now() + interval '10 minutes', now(), null
      )::public.reservations;
      v_holds := v_holds || v_hold;
      v_available := v_available - v_item.cost;
      v_reserved := v_reserved + v_item.cost;
      v_answer := jsonb_build_object(
        'can_use', true, 'tokens_needed', v_item.cost, 'remaining', v_available,
        'reservation_id', v_hold.id, 'expires_at', v_hold.expires_at
      );
      if v_key is not null then
        perform private.remember_answer(v_device.id, v_key, v_request_hash, v_answer);
      end if;
    elsif v_item.op = 'check' then
      v_answer := jsonb_build_object(
        'can_use', v_available >= v_item.cost, 'tokens_needed', v_item.cost, 'remaining', v_available
      );
    elsif v_item.op = 'debit' then
      v_hold := null;
      v_released := 0;
      if v_item.reservation_id is not null then
        select r.* into v_hold from public.reservations r
         where r.id = v_item.reservation_id and r.subject_id = v_device.id;
        if not found then
          v_answer := '{"code": "RESERVATION_NOT_FOUND"}';
        elsif v_hold.status = 'settled' or v_hold.id = any (v_settled) then
          v_answer := '{"code": "RESERVATION_SETTLED"}';
        elsif v_hold.status = 'held' and v_hold.expires_at > now() then
          v_released := v_hold.amount;
        else
          -- It guarantees nothing any more: its usage is debited like any other.
          v_hold := null;
        end if;
      end if;
      if v_answer is null and v_available + v_released < v_item.cost then
        v_answer := jsonb_build_object(
          'code', 'INSUFFICIENT_TOKENS', 'requested', v_item.cost, 'remaining', v_available + v_released
        );
      end if;
      if v_answer is null then
        v_event_id := case
          when v_key is null then gen_random_uuid() else private.keyed_event_id(v_device.id, v_key, now())
        end;
        v_events := v_events || row(
          v_event_id, v_device.id, v_device.user_id, v_device.id, 'device', 'unknown', v_item.model, v_item.prompt_count,
          0, 0, 0, v_item.cost, 'client_reported', v_balance.period, null, now(), now(), null
        )::public.usage_events;
        if v_hold.id is not null then
          v_settled := v_settled || v_hold.id;
          v_settled_by := v_settled_by || v_event_id;
        end if;
        v_available := v_available + v_released - v_item.cost;
        v_reserved := v_reserved - v_released;
        v_used := v_used + v_item.cost;
        v_answer := jsonb_build_object('event_id', v_event_id, 'tokens_used', v_item.cost, 'remaining', v_available);
        if v_key is not null then
          insert into private.idempotency_keys (subject_id, key, request_hash, tokens_used, remaining)
          values (v_device.id, v_key, v_request_hash, v_item.cost, v_available);
        end if;
      end if;
    else
      raise exception 'unknown metering operation %', v_item.op using errcode = '22023';
    end if;
    v_answers[v_item.ord] := v_answer;

    if v_item.is_last and (v_used, v_reserved) <> (v_balance.used, v_balance.reserved) then
      v_changed := v_changed || v_balance.subject_id;
      v_changed_used := v_changed_used || v_used;
      v_changed_reserved := v_changed_reserved || v_reserved;
    end if;
  end loop;

  if cardinality(v_changed) > 0 then
    update public.balances b set used = c.used, reserved = c.reserved, updated_at = now()
      from unnest(v_changed, v_changed_used, v_changed_reserved) as c(subject_id, used, reserved)
     where b.subject_id = c.subject_id;
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
  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.meter_devices(jsonb) to service_role;
comment on function public.meter_devices(jsonb) is
  'Makes balance reads, checks, holds and debits of devices in one transaction. Takes an array of {op, device_id, token_version, model, prompt_count, reserve, key, reservation_id}, returns an array of outcomes in the same order: the result, or {code, …} where the item was refused.';
