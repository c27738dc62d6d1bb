-- Items are taken in the order given, and each gets an outcome of its own. What they say is written at the end, for all of
-- them at once.
create or replace function public.record_usage(p_items jsonb, p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off
as $$
-- Definer: the only writer of observed events and their rollups; no API role may write them itself.
declare
  v_horizon constant timestamptz := private.hold_usage_horizon(p_items, p_retention_months);
  v_now_ms constant bigint := floor(extract(epoch from now()) * 1000);
  v_item record;
  v_at_ms bigint;
  v_event public.usage_events;
  v_content jsonb;
  v_key uuid;
  v_request_hash bigint;
  v_position integer;
  v_is_plain boolean;
  v_answer jsonb;
  v_answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_items)]);
  v_ids uuid[] := array_fill(null::uuid, array[jsonb_array_length(p_items)]);
  v_events public.usage_events[] := '{}';
  -- Too old to be kept as events: only counted.
  v_counted public.usage_events[] := '{}';
  v_keys private.idempotency_keys[] := '{}';
  v_known_as text[] := '{}';
  v_new_keys integer;
  v_inserted uuid[] := '{}';
begin
  perform private.hold_users(p_items);

  for v_item in
    select i.id as user_id, i.session_id, i.api_key_id, i.provider, lower(btrim(i.model)) as model, i.input_tokens,
           i.output_tokens, i.timestamp_ms, i.url, i.key, i.ord
      from rows from (
        jsonb_to_recordset(p_items) as (
          id uuid, session_id uuid, api_key_id uuid, provider text, model text, input_tokens bigint,
          output_tokens bigint, timestamp_ms bigint, url text, key text
        )
      ) with ordinality as i(
        id, session_id, api_key_id, provider, model, input_tokens, output_tokens, timestamp_ms, url, key, ord
      )
     order by i.ord
  loop
    v_answer := jsonb_build_object(
      'code', private.credential_problem(v_item.user_id, v_item.session_id, v_item.api_key_id, 'usage:write')
    );
    if v_answer ->> 'code' is not null then
      v_answers[v_item.ord] := v_answer;
      continue;
    end if;

    -- It has no time, or the clock of whoever sent it is ahead by hours: it happened now.
    v_at_ms := case
      when v_item.timestamp_ms is null then v_now_ms
      when v_item.timestamp_ms between v_now_ms + 300001 and v_now_ms + 86400000 then v_now_ms
      else v_item.timestamp_ms
    end;
    v_item.url := private.plain_url(v_item.url);
    v_content := jsonb_build_array(
      v_item.provider, v_item.model, v_item.timestamp_ms, v_item.input_tokens, v_item.output_tokens, v_item.url
    );
    -- With neither a time nor a key, nothing tells an event sent again from another one that is like it.
    if v_item.timestamp_ms is null and v_item.key is null then
      v_content := v_content || to_jsonb(gen_random_uuid());
    end if;

    -- What was sent before, in an earlier call or earlier in this one, repeats its answer.
    v_key := private.idempotency_key_hash(coalesce(v_item.key, private.content_key(v_content)));
    v_request_hash := private.request_hash(v_content);
    v_position := array_position(v_known_as, v_item.user_id || '' || v_key);
    v_answer := case
      when v_position is null then private.replayed_answer(v_item.user_id, v_key, v_request_hash)
      when v_keys[v_position].request_hash = v_request_hash then v_keys[v_position].answer
      else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
    end;
    if v_answer is null and v_at_ms > v_now_ms + 300000 then
      v_answer := '{"code": "TIMESTAMP_OUT_OF_RANGE"}';
    elsif v_answer ? 'id' then
      v_answer := v_answer || '{"recorded": true, "duplicate": true}';
    end if;
    if v_answer is not null then
      v_answers[v_item.ord] := v_answer;
      continue;
    end if;

    v_event := row(
      private.usage_event_id(
        v_item.user_id, v_at_ms,
        case when v_item.key is null then v_content else jsonb_build_array('key', v_item.key) end
      ),
      v_item.user_id, v_item.user_id, null, 'extension', v_item.provider, v_item.model, 1, v_item.input_tokens,
      v_item.output_tokens, v_item.input_tokens + v_item.output_tokens, 0, 'client_reported',
      (select b.period from public.balances b where b.subject_id = v_item.user_id), v_item.url,
      timestamptz 'epoch' + v_at_ms * interval '1 millisecond', now(), null
    )::public.usage_events;
    v_answer := jsonb_build_object('id', v_event.id);
    v_is_plain := true;
    if v_at_ms < v_item.timestamp_ms then
      v_answer := v_answer || '{"adjusted": ["timestamp"]}';
      v_is_plain := false;
    end if;
    if v_event.occurred_at < v_horizon then
      v_answer := v_answer || '{"summary_only": true}';
      v_is_plain := false;
      v_counted := v_counted || v_event;
    else
      v_events := v_events || v_event;
    end if;
    -- What has a row of its own under its own time is told from others by that, all else by what is remembered here.
    if v_is_plain then
      v_ids[v_item.ord] := v_event.id;
    else
      v_answers[v_item.ord] := v_answer || '{"recorded": true, "duplicate": false}';
    end if;
    if v_item.key is not null or not v_is_plain then
      v_keys := v_keys || row(v_item.user_id, v_key, v_request_hash, v_answer, now(), null, null)::private.idempotency_keys;
      v_known_as := v_known_as || (v_item.user_id || '' || v_key);
    end if;
  end loop;

  if cardinality(v_keys) > 0 then
    insert into private.idempotency_keys select k.* from unnest(v_keys) k order by k.subject_id, k.key
    on conflict do nothing;
    get diagnostics v_new_keys = row_count;
    -- Somebody used one of the keys meanwhile: the whole call is made again and then sees it.
    if v_new_keys < cardinality(v_keys) then
      raise sqlstate '40001' using message = 'an idempotency key was used at the same time';
    end if;
  end if;
  if cardinality(v_events) > 0 then
    v_inserted := private.record_new_usage_events(v_events);
  end if;
  if cardinality(v_counted) > 0 then
    perform private.thaw_late_usage(v_counted);
    perform private.roll_up_usage(v_counted);
  end if;

  return (
    select jsonb_agg(
             coalesce(a.answer, jsonb_build_object(
               'id', a.id, 'recorded', true, 'duplicate', a.nth > 1 or not a.id = any (v_inserted)
             )) order by a.ord
           )
      from (
        select answer, id, ord, row_number() over (partition by id order by ord) as nth
          from unnest(v_answers, v_ids) with ordinality as u(answer, id, ord)
      ) a
  );
end
$$;
grant execute on function public.record_usage(jsonb, integer) to service_role;
comment on function public.record_usage(jsonb, integer) is
  'Records what extensions observed. Takes an array of {id, session_id | api_key_id, provider, model, input_tokens, output_tokens, timestamp_ms, url, key}, returns an array in the same order: {id, recorded, duplicate}, with adjusted where a clock was ahead and summary_only where the event is too old to be kept, or {code} where the event was refused. Without timestamp_ms it happened now.';
