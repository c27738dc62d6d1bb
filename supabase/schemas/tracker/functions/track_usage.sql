-- Items are taken per account in the order given, each gets an outcome of its own.
create or replace function public.track_usage(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of the counters and the events behind them; no API role may write them itself.
declare
  v_most constant bigint := 9007199254740991;
  v_today constant date := (now() at time zone 'UTC')::date;
  v_tomorrow constant integer := ceil(extract(epoch from (v_today + 1)::timestamp at time zone 'UTC' - now()));
  v_users uuid[];
  v_item record;
  v_user uuid;
  v_prompts bigint;
  v_tokens bigint;
  v_day_prompts bigint;
  v_day_tokens bigint;
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_hash bytea;
  v_earlier private.idempotency_keys;
  v_keys text[] := '{}';
  v_stored private.idempotency_keys[] := '{}';
  v_position integer;
  v_events public.usage_events[] := '{}';
begin
  select array_agg(distinct i.user_id) into v_users from jsonb_to_recordset(p_items) as i(user_id uuid);
  -- Counters are made and then locked, both in id order, so concurrent calls cannot deadlock.
  insert into public.tracker_counters (user_id)
  select u.id from public.users u where u.id = any (v_users) order by u.id
  on conflict (user_id) do nothing;
  perform from public.tracker_counters c where c.user_id = any (v_users) order by c.user_id for update;

  for v_item in
    select i.ord::integer as ord, i.user_id, i.usage, i.token_count, i.key, i.most_prompts, i.most_tokens,
           c.user_id is not null as known, i.version is distinct from c.version as revoked,
           c.prompts, c.tokens, b.period,
           case when c.counted_on = v_today then c.day_prompts else 0 end as day_prompts,
           case when c.counted_on = v_today then c.day_tokens else 0 end as day_tokens,
           k.request_hash as earlier_hash, k.answer as earlier_answer
      from rows from (
        jsonb_to_recordset(p_items) as (
          user_id uuid, version integer, usage integer, token_count bigint, key text, most_prompts bigint, most_tokens bigint
        )
      ) with ordinality as i(user_id, version, usage, token_count, key, most_prompts, most_tokens, ord)
      left join public.tracker_counters c on c.user_id = i.user_id
      left join public.balances b on b.subject_id = i.user_id
      left join private.idempotency_keys k on k.subject_id = i.user_id and k.key = i.key
     order by i.user_id, i.ord
  loop
    if v_user is distinct from v_item.user_id then
      v_user := v_item.user_id;
      v_prompts := v_item.prompts;
      v_tokens := v_item.tokens;
      v_day_prompts := v_item.day_prompts;
      v_day_tokens := v_item.day_tokens;
    end if;

    v_hash := null;
    v_answer := case
      when not v_item.known then '{"code": "USER_NOT_FOUND"}'::jsonb
      when v_item.revoked then '{"code": "TRACKER_TOKEN_INVALID"}'::jsonb
    end;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item.key is not null then
      v_hash := sha256(convert_to(jsonb_build_array('track', v_item.usage, v_item.token_count)::text, 'UTF8'));
      v_position := array_position(v_keys, v_user || v_item.key);
      v_earlier := row(v_user, v_item.key, v_item.earlier_hash, v_item.earlier_answer, null);
      if v_position is not null then
        v_earlier := v_stored[v_position];
      end if;
      v_answer := case
        when v_earlier.request_hash is null then null
        when v_earlier.request_hash = v_hash then v_earlier.answer
        else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
      end;
    end if;

    if v_answer is null and (v_item.usage > v_most - v_prompts or v_item.token_count > v_most - v_tokens) then
      v_answer := '{"code": "COUNTER_FULL"}'::jsonb;
    elsif v_answer is null and (
      v_item.usage > v_item.most_prompts - v_day_prompts or v_item.token_count > v_item.most_tokens - v_day_tokens
    ) then
      v_answer := jsonb_build_object('code', 'TRACKER_DAY_LIMIT', 'retry_after', v_tomorrow);
    elsif v_answer is null then
      v_prompts := v_prompts + v_item.usage;
      v_tokens := v_tokens + v_item.token_count;
      v_day_prompts := v_day_prompts + v_item.usage;
      v_day_tokens := v_day_tokens + v_item.token_count;
      v_events := v_events || row(
        gen_random_uuid(), v_user, v_user, null, 'tracker', 'unknown', 'unknown', v_item.usage,
        0, 0, v_item.token_count, 0, 'client_reported', v_item.period, null, now(), now()
      )::public.usage_events;
      v_answer := jsonb_build_object('prompts', v_prompts, 'tokens', v_tokens);
      -- Only what took effect is remembered: a refused item counted nothing and may be tried again.
      if v_hash is not null then
        v_stored := v_stored || row(v_user, v_item.key, v_hash, v_answer, now())::private.idempotency_keys;
        v_keys := array_append(v_keys, v_user || v_item.key);
      end if;
    end if;
    v_answers[v_item.ord] := v_answer;
  end loop;

  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  if cardinality(v_stored) > 0 then
    insert into private.idempotency_keys select k.* from unnest(v_stored) k;
  end if;
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
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.track_usage(jsonb) to service_role;
comment on function public.track_usage(jsonb) is
  'Adds to the counters of accounts in one transaction. Takes an array of {user_id, version, usage, token_count, key, most_prompts, most_tokens}, the last two what may be counted a day (UTC); returns an array of outcomes in the same order: {prompts, tokens} after the item, or {code} where it was refused.';
