-- Metering of devices does less for each call: shorter checks, fewer steps for an item, and sub-selects apart from the rest.

-- As in every function: names are qualified, and what changes rows here is not a change by hand.
set search_path = '';

-- The same checks, shorter: Postgres reads each anew for every statement that writes. The rows that are there, which met
-- the checks before, are read by the next migration, as nobody can write while this one has its locks.
alter table public.usage_events
  drop constraint usage_events_source_check,
  drop constraint usage_events_provider_check,
  drop constraint usage_events_model_check,
  drop constraint usage_events_provenance_check,
  add constraint usage_events_source_check check (source = any ('{device,extension,tracker,chat,api}')) not valid,
  add constraint usage_events_provider_check check (length(provider) <@ int4range '[1,50]') not valid,
  add constraint usage_events_model_check check (length(model) <@ int4range '[1,200]') not valid,
  add constraint usage_events_provenance_check check (provenance = any ('{client_reported,provider_final,estimated}')) not valid;
alter table public.usage_totals
  drop constraint usage_totals_shard_check,
  add constraint usage_totals_shard_check check (shard = any ('{0,1,2,3,4,5,6,7}')) not valid;
alter table public.balances
  drop constraint balances_subject_kind_check,
  drop constraint balances_allocated_check,
  add constraint balances_subject_kind_check check (subject_kind = any ('{device,user}')) not valid,
  add constraint balances_allocated_check check (allocated <@ int8range '[0,9007199254740991]') not valid;

set check_function_bodies = off;

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
  v_device_id uuid;
  v_refusal jsonb;
  v_balance public.balances;
  v_takes_effect boolean := false;
  v_seen_keys uuid[];
  v_seen_items integer[];
  v_first_key integer;
  v_position integer;
  v_request text[];
  v_hashed_request text[];
  v_request_hash bigint;
  v_named record;
  v_hold public.reservations;
  v_released bigint;
  v_event_id uuid;
  v_answer jsonb;
  v_answers jsonb[];
  v_events public.usage_events[];
  v_holds public.reservations[];
  v_keys private.device_keys[];
  v_changed integer := 0;
  v_changed_ids uuid[];
  v_changed_used bigint[];
  v_changed_reserved bigint[];
  v_settled uuid[];
  v_settled_by uuid[];
  v_refused uuid[];
  v_refused_price bigint[];
begin
  if p_items @? '$[*] ? (@.op == "debit" || @.reserve == true || @.reserve.type() != "boolean")' then
    perform private.lock_device_balances(p_items);
  end if;

  -- A query after the locks: it sees what those did who had them before.
  for v_item in
    select i.*, d.*, l.*
      from (
        select j.ord::integer as ord, j.op, j.device_id, j.token_version, lower(btrim(j.model)) as model, j.prompt_count,
               coalesce(j.reserve, false) as reserve, private.device_key(j.device_id, j.key) as key, j.reservation_id
          from rows from (
            jsonb_to_recordset(p_items) as (
              op text, device_id uuid, token_version integer, model text, prompt_count integer,
              reserve boolean, key text, reservation_id uuid
            )
          ) with ordinality as j(op, device_id, token_version, model, prompt_count, reserve, key, reservation_id, ord)
         order by device_id, ord
      ) i
      -- With its limit it is one look-up by key for each item, however many the planner reckons with.
      left join lateral (
        select s.token_version as current_version, s.user_id, s.blocked, b as balance,
               b.period < (select p.number from public.periods p order by p.number desc limit 1)
                 or b.reserved > 0 and exists (
                   select from public.reservations r
                    where r.subject_id = s.id and r.status = 'held' and r.expires_at <= now()
                 ) as is_due
          from public.devices s join public.balances b on b.subject_id = s.id
         where s.id = i.device_id
         limit 1
      ) d on true
      -- Apart from the rest, as Postgres walks through all of a query that has sub-selects before it runs it.
      cross join lateral (
        select (select k from private.device_keys k where k.key = i.key) as earlier,
               case when i.op <> 'balance' then
                 i.prompt_count * coalesce(
                   (select c.cost from public.model_costs c where c.model = i.model),
                   (select c.cost from public.model_costs c where c.model = '*'), 1
                 )::bigint
               end as cost
      ) l
     order by i.device_id, i.ord
  loop
    if v_device_id is distinct from v_item.device_id then
      v_device_id := v_item.device_id;
      v_balance := v_item.balance;
      v_seen_keys := null;
      v_seen_items := null;
      v_first_key := coalesce(cardinality(v_keys), 0);
      -- A period has begun, or what expired holds keep is free again: also for those who only ask.
      if v_item.is_due then
        v_balance := private.renew_device_balance(v_device_id);
      end if;
      v_refusal := case when v_item.blocked then '{"code": "DEVICE_BLOCKED"}'::jsonb end;
      if v_item.user_id is not null and v_refusal is null then
        select '{"code": "ACCOUNT_SUSPENDED"}' into v_refusal
          from public.users u where u.id = v_item.user_id and u.suspended_at is not null;
      end if;
    end if;

    v_answer := case
      when v_item.current_version = v_item.token_version then v_refusal else '{"code": "INVALID_TOKEN"}'::jsonb
    end;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item.key is not null then
      v_request := array[v_item.op, v_item.reserve, v_item.model, v_item.prompt_count, v_item.reservation_id]::text[];
      -- Most requests of a call are alike.
      if v_request is distinct from v_hashed_request then
        v_hashed_request := v_request;
        v_request_hash := private.request_hash(
          jsonb_build_array(v_item.op, v_item.reserve, v_item.model, v_item.prompt_count, v_item.reservation_id)
        );
      end if;
      v_position := array_position(v_seen_keys, v_item.key);
      if v_position is not null then
        v_answer := case
          when v_keys[v_first_key + v_position].request_hash = v_request_hash then v_answers[v_seen_items[v_position]]
          else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
        end;
      elsif (v_item.earlier).key is not null then
        v_answer := private.repeated_answer(v_device_id, v_item.earlier, v_request_hash);
      end if;
    end if;

    if v_answer is not null then
      null;
    elsif v_item.op = 'balance' then
      v_answer := jsonb_build_object(
        'allocated', v_balance.allocated, 'used', v_balance.used, 'reserved', v_balance.reserved,
        'remaining', v_balance.remaining
      );
    elsif v_item.op = 'check' and v_item.reserve and v_balance.remaining >= v_item.cost then
      v_hold := row(
        gen_random_uuid(), v_device_id, v_item.cost, 'held', v_item.model, v_item.prompt_count, null,
        now() + interval '10 minutes', now(), null
      )::public.reservations;
      v_holds := v_holds || v_hold;
      v_balance.reserved := v_balance.reserved + v_item.cost;
      v_balance.remaining := v_balance.remaining - v_item.cost;
      v_answer := jsonb_build_object(
        'can_use', true, 'tokens_needed', v_item.cost, 'remaining', v_balance.remaining,
        'reservation_id', v_hold.id, 'expires_at', v_hold.expires_at
      );
      v_takes_effect := true;
    elsif v_item.op = 'check' then
      v_answer := jsonb_build_object(
        'can_use', v_balance.remaining >= v_item.cost, 'tokens_needed', v_item.cost, 'remaining', v_balance.remaining
      );
    elsif v_item.op = 'debit' then
      v_hold := null;
      v_released := 0;
      if v_item.reservation_id is not null then
        v_named := private.find_device_hold(v_device_id, v_item.reservation_id, v_settled);
        v_answer := v_named.refusal;
        v_hold := v_named.hold;
        v_released := coalesce(v_hold.amount, 0);
      end if;
      if v_answer is null and v_balance.remaining + v_released < v_item.cost then
        v_refused := v_refused || v_device_id;
        v_refused_price := v_refused_price || v_item.cost / v_item.prompt_count;
        v_answer := jsonb_build_object(
          'code', 'INSUFFICIENT_TOKENS', 'requested', v_item.cost, 'remaining', v_balance.remaining + v_released
        );
      end if;
      if v_answer is null then
        v_event_id := case when v_item.key is null then gen_random_uuid() else private.keyed_event_id(v_item.key, now()) end;
        v_events := v_events || row(
          v_event_id, v_device_id, v_item.user_id, v_device_id, 'device', 'unknown', v_item.model, v_item.prompt_count,
          0, 0, 0, v_item.cost, 'client_reported', v_balance.period, null, now(), now(), null
        )::public.usage_events;
        if v_hold.id is not null then
          v_settled := v_settled || v_hold.id;
          v_settled_by := v_settled_by || v_event_id;
        end if;
        v_balance.used := v_balance.used + v_item.cost;
        v_balance.reserved := v_balance.reserved - v_released;
        v_balance.remaining := v_balance.remaining + v_released - v_item.cost;
        v_answer := jsonb_build_object(
          'event_id', v_event_id, 'tokens_used', v_item.cost, 'remaining', v_balance.remaining
        );
        v_takes_effect := true;
      end if;
    else
      raise exception 'unknown metering operation %', v_item.op using errcode = '22023';
    end if;
    v_answers[v_item.ord] := v_answer;

    if v_takes_effect then
      v_takes_effect := false;
      if v_changed_ids[v_changed] is distinct from v_device_id then
        v_changed := v_changed + 1;
        v_changed_ids[v_changed] := v_device_id;
      end if;
      v_changed_used[v_changed] := v_balance.used;
      v_changed_reserved[v_changed] := v_balance.reserved;
      if v_item.key is not null then
        v_keys := v_keys || row(
          v_item.key, v_request_hash, now(),
          case when v_item.op = 'debit' then v_balance.remaining end, case when v_item.op <> 'debit' then v_answer end
        )::private.device_keys;
        v_seen_keys := v_seen_keys || v_item.key;
        v_seen_items := v_seen_items || v_item.ord;
      end if;
    end if;
  end loop;

  if v_changed > 0 then
    update public.balances b set used = c.used, reserved = c.reserved, updated_at = now()
      from unnest(v_changed_ids, v_changed_used, v_changed_reserved) as c(subject_id, used, reserved)
     where b.subject_id = c.subject_id;
  end if;
  if cardinality(v_refused) > 0 then
    -- Only now the balances are what the refused items found.
    perform private.note_refusal(r.subject_id, r.price)
      from unnest(v_refused, v_refused_price) with ordinality as r(subject_id, price, ord) order by r.ord;
  end if;
  if cardinality(v_keys) > 0 then
    insert into private.device_keys select k.* from unnest(v_keys) k;
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
  return coalesce(to_jsonb(v_answers), '[]');
end
$$;
grant execute on function public.meter_devices(jsonb) to service_role;
comment on function public.meter_devices(jsonb) is
  'Makes balance reads, checks, holds and debits of devices in one transaction. Takes an array of {op, device_id, token_version, model, prompt_count, reserve, key, reservation_id}, returns an array of outcomes in the same order: the result, or {code, …} where the item was refused.';

reset check_function_bodies;
reset search_path;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261128130317', 'b6824ffafacaec5c5d82b9f7eb61b2982f4c129e910a35ee69acaeced34f1fb0');
