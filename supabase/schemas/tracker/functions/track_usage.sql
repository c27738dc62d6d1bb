-- Items are taken per account in the order given, each sees what the ones before it counted, and each gets an outcome of
-- its own. What they counted is written at the end, for all of them at once.
create or replace function public.track_usage(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off
as $$
-- Definer: the only writer of the counters and the events behind them; no API role may write them itself.
declare
  v_most constant bigint := 9007199254740991;
  v_today constant date := (now() at time zone 'UTC')::date;
  v_tomorrow constant integer := ceil(extract(epoch from (v_today + 1)::timestamp at time zone 'UTC' - now()));
  v_item record;
  v_account record;
  v_user_id uuid;
  v_prompts bigint;
  v_tokens bigint;
  v_day_prompts bigint;
  v_day_tokens bigint;
  v_key uuid;
  v_request_hash bigint;
  v_first_key integer := 1;
  v_position integer;
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_events public.usage_events[] := '{}';
  v_keys private.idempotency_keys[] := '{}';
  v_key_hashes uuid[] := '{}';
begin
  perform private.lock_tracker_counters(array(select (i ->> 'user_id')::uuid from jsonb_array_elements(p_items) i));

  for v_item in
    select i.*
      from rows from (
        jsonb_to_recordset(p_items) as (
          user_id uuid, version integer, usage integer, token_count bigint, key text, most_prompts bigint, most_tokens bigint
        )
      ) with ordinality as i(user_id, version, usage, token_count, key, most_prompts, most_tokens, ord)
     order by i.user_id, i.ord
  loop
    if v_user_id is distinct from v_item.user_id then
      v_user_id := v_item.user_id;
      select c.version, u.suspended_at is not null as suspended, b.period, c.prompts, c.tokens,
             case when c.counted_on = v_today then c.day_prompts else 0 end as day_prompts,
             case when c.counted_on = v_today then c.day_tokens else 0 end as day_tokens
        into v_account
        from public.tracker_counters c
        join public.users u on u.id = c.user_id
        join public.balances b on b.subject_id = c.user_id
       where c.user_id = v_user_id;
      v_prompts := v_account.prompts;
      v_tokens := v_account.tokens;
      v_day_prompts := v_account.day_prompts;
      v_day_tokens := v_account.day_tokens;
      v_first_key := cardinality(v_keys) + 1;
    end if;

    v_key := null;
    v_answer := case
      when v_account.version is null then '{"code": "USER_NOT_FOUND"}'::jsonb
      when v_account.version is distinct from v_item.version then '{"code": "TRACKER_TOKEN_INVALID"}'::jsonb
      when v_account.suspended then '{"code": "ACCOUNT_SUSPENDED"}'::jsonb
    end;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item.key is not null then
      v_key := private.idempotency_key_hash(v_item.key);
      v_request_hash := private.request_hash(jsonb_build_array('track', v_item.usage, v_item.token_count));
      v_position := array_position(v_key_hashes, v_key, v_first_key);
      v_answer := case
        when v_position is null then private.replayed_answer(v_user_id, v_key, v_request_hash)
        when v_keys[v_position].request_hash = v_request_hash then v_keys[v_position].answer
        else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
      end;
    end if;

    if v_answer is not null then
      v_answers[v_item.ord] := v_answer;
      continue;
    end if;

    if v_item.usage > v_most - v_prompts or v_item.token_count > v_most - v_tokens then
      v_answer := '{"code": "COUNTER_FULL"}';
    elsif v_item.usage > v_item.most_prompts - v_day_prompts or v_item.token_count > v_item.most_tokens - v_day_tokens then
      v_answer := jsonb_build_object('code', 'TRACKER_DAY_LIMIT', 'retry_after', v_tomorrow);
    else
      v_prompts := v_prompts + v_item.usage;
      v_tokens := v_tokens + v_item.token_count;
      v_day_prompts := v_day_prompts + v_item.usage;
      v_day_tokens := v_day_tokens + v_item.token_count;
      v_events := v_events || row(
        gen_random_uuid(), v_user_id, v_user_id, null, 'tracker', 'unknown', 'unknown', v_item.usage,
        0, 0, v_item.token_count, 0, 'client_reported', v_account.period, null, now(), now(), null
      )::public.usage_events;
      v_answer := jsonb_build_object('prompts', v_prompts, 'tokens', v_tokens);
      -- Only what took effect is remembered: a refused item counted nothing and may be tried again.
      if v_key is not null then
        v_keys := v_keys || row(v_user_id, v_key, v_request_hash, v_answer, now(), null, null)::private.idempotency_keys;
        v_key_hashes := v_key_hashes || v_key;
      end if;
    end if;
    v_answers[v_item.ord] := v_answer;
  end loop;

  if cardinality(v_keys) > 0 then
    insert into private.idempotency_keys select k.* from unnest(v_keys) k;
  end if;
  if cardinality(v_events) > 0 then
    update public.tracker_counters c
       set prompts = c.prompts + tracked.prompts, tokens = c.tokens + tracked.tokens, updated_at = now(),
           day_prompts = case when c.counted_on = v_today then c.day_prompts else 0 end + tracked.prompts,
           day_tokens = case when c.counted_on = v_today then c.day_tokens else 0 end + tracked.tokens,
           counted_on = v_today
      from (
        select e.user_id, sum(e.prompt_count) as prompts, sum(e.total_tokens) as tokens
          from unnest(v_events) e group by e.user_id
      ) tracked
     where c.user_id = tracked.user_id;
    perform private.record_usage_events(v_events);
  end if;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.track_usage(jsonb) to service_role;
comment on function public.track_usage(jsonb) is
  'Adds to the counters of accounts in one transaction. Takes an array of {user_id, version, usage, token_count, key, most_prompts, most_tokens}, the last two what may be counted a day (UTC); returns an array of outcomes in the same order: {prompts, tokens} after the item, or {code} where it was refused.';
