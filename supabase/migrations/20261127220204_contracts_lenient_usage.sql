-- Observed events that are too old to be kept count in summaries, and clocks that are ahead are set right.

set check_function_bodies = off;

-- Where retention begins to drop: nothing older is kept as an event. Nor is anything for a month that was dropped once, though
-- retention may have been made longer since: its rollups stayed, and could not be proved from the events any more.
create or replace function private.usage_horizon(p_retention_months integer)
returns timestamptz
language sql stable set search_path = ''
as $$
  select greatest(
           (date_trunc('month', now() at time zone 'UTC') - make_interval(months => p_retention_months))
             at time zone 'UTC',
           (date_trunc('month', dropped.latest at time zone 'UTC') + interval '1 month') at time zone 'UTC'
         )
    from (
      select max(t.bucket) as latest from public.usage_totals t
       where t.bucket < (select min(p.lower_bound) from private.usage_partitions() p)
    ) dropped
$$;
comment on function private.usage_horizon(integer) is
  'Returns the start of the oldest month that events are kept for: what is kept, and was never dropped.';

create or replace function public.record_usage(p_items jsonb, p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of observed events and their rollups; no API role may write them itself.
declare
  v_horizon timestamptz := private.usage_horizon(p_retention_months);
  v_now_ms bigint := floor(extract(epoch from now()) * 1000);
  v_item record;
  v_code text;
  v_earlier jsonb;
  v_hash bytea;
  v_position integer;
  v_answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_items)]);
  v_ids uuid[] := array_fill(null::uuid, array[jsonb_array_length(p_items)]);
  v_events public.usage_events[] := '{}';
  v_event public.usage_events;
  -- Too old to be kept as events: only counted.
  v_counted public.usage_events[] := '{}';
  v_answer jsonb;
  v_stored private.idempotency_keys[] := '{}';
  v_keys text[] := '{}';
  v_new_keys integer;
  v_inserted uuid[] := '{}';
begin
  if exists (
    select from jsonb_to_recordset(p_items) as i (timestamp_ms bigint)
     where timestamptz 'epoch' + i.timestamp_ms * interval '1 millisecond' < v_horizon
  ) then
    -- No month is dropped meanwhile, so that none is brought back. What is not dropped yet still takes events, as the
    -- rollups of a month are proved from them as long as it is there.
    perform pg_advisory_xact_lock_shared(hashtext('public.maintain'));
    select least(private.usage_horizon(p_retention_months), min(p.lower_bound)) into v_horizon
      from private.usage_partitions() p;
  end if;
  perform private.hold_users(p_items);
  for v_item in
    select i.*, c.problem, b.period, k.request_hash as earlier_hash, k.answer as earlier_answer,
           private.usage_event_id(
             i.user_id, i.at_ms,
             case when i.key is null then i.content else jsonb_build_array('key', i.key) end
           ) as event_id
      from (
        select q.*, timestamptz 'epoch' + q.at_ms * interval '1 millisecond' as occurred_at,
               sha256(convert_to(q.content::text, 'UTF8')) as hash,
               coalesce(q.key, 'content ' || encode(sha256(convert_to(q.content::text, 'UTF8')), 'hex')) as known_as
          from (
            select p.*,
                   -- The clock of whoever sent it is ahead by hours: it happened now.
                   case when p.timestamp_ms between v_now_ms + 300001 and v_now_ms + 86400000
                     then v_now_ms else p.timestamp_ms
                   end as at_ms,
                   jsonb_build_array(
                     p.provider, p.model, p.timestamp_ms, p.input_tokens, p.output_tokens, p.url
                   ) as content
              from (
                select r.ord::integer as ord, r.id as user_id, r.session_id, r.api_key_id, r.provider,
                       lower(btrim(r.model)) as model, r.input_tokens, r.output_tokens, r.total_tokens,
                       r.timestamp_ms, private.plain_url(r.url) as url, r.key
                  from rows from (
                    jsonb_to_recordset(p_items) as (
                      id uuid, session_id uuid, api_key_id uuid, provider text, model text, input_tokens bigint,
                      output_tokens bigint, total_tokens bigint, timestamp_ms bigint, url text, key text
                    )
                  ) with ordinality as r(
                    id, session_id, api_key_id, provider, model, input_tokens, output_tokens, total_tokens,
                    timestamp_ms, url, key, ord
                  )
              ) p
          ) q
      ) i
      left join lateral (
        select private.credential_problem(i.user_id, i.session_id, i.api_key_id, 'usage:write') as problem
      ) c on true
      left join public.balances b on b.subject_id = i.user_id
      left join private.idempotency_keys k on k.subject_id = i.user_id and k.key = i.known_as
     order by i.ord
  loop
    v_hash := v_item.hash;
    v_position := array_position(v_keys, v_item.user_id || v_item.known_as);
    v_earlier := case
      when v_item.earlier_hash is not null then v_item.earlier_answer
      when v_position is not null then v_stored[v_position].answer
    end;
    v_code := case
      when v_item.problem is not null then v_item.problem
      when v_item.total_tokens <> v_item.input_tokens + v_item.output_tokens then 'TOTAL_MISMATCH'
      when v_earlier is not null and coalesce(v_item.earlier_hash, v_stored[v_position].request_hash) <> v_hash
        then 'IDEMPOTENCY_MISMATCH'
      when v_earlier is not null then null
      when v_item.at_ms > v_now_ms + 300000 then 'TIMESTAMP_OUT_OF_RANGE'
    end;
    if v_code is not null then
      v_answers[v_item.ord] := jsonb_build_object('code', v_code);
    elsif v_earlier is not null then
      v_answers[v_item.ord] := v_earlier || '{"recorded": true, "duplicate": true}';
    else
      v_event := row(
        v_item.event_id, v_item.user_id, v_item.user_id, null, 'extension', v_item.provider, v_item.model, 1,
        v_item.input_tokens, v_item.output_tokens, v_item.input_tokens + v_item.output_tokens, 0,
        'client_reported', v_item.period, v_item.url, v_item.occurred_at, now(), null
      )::public.usage_events;
      v_answer := jsonb_build_object('id', v_item.event_id)
        || case when v_item.at_ms < v_item.timestamp_ms then '{"adjusted": ["timestamp"]}' else '{}' end::jsonb
        || case when v_item.occurred_at < v_horizon then '{"summary_only": true}' else '{}' end::jsonb;
      if v_item.occurred_at < v_horizon then
        v_counted := v_counted || v_event;
      else
        v_events := v_events || v_event;
      end if;
      if v_answer = jsonb_build_object('id', v_item.event_id) then
        v_ids[v_item.ord] := v_item.event_id;
      else
        v_answers[v_item.ord] := v_answer || '{"recorded": true, "duplicate": false}';
      end if;
      -- What has a row of its own under its own time is told from others by that, all else by what is remembered here.
      if v_item.key is not null or v_ids[v_item.ord] is null then
        v_stored := v_stored || row(
          v_item.user_id, v_item.known_as, v_hash, v_answer, now()
        )::private.idempotency_keys;
        v_keys := v_keys || (v_item.user_id || v_item.known_as);
      end if;
    end if;
  end loop;

  if cardinality(v_stored) > 0 then
    with stored as (
      insert into private.idempotency_keys select s.* from unnest(v_stored) s order by s.subject_id, s.key
      on conflict do nothing returning 1
    )
    select count(*) into v_new_keys from stored;
    -- Somebody used one of the keys meanwhile: the whole call is made again and then sees it.
    if v_new_keys < cardinality(v_stored) then
      raise sqlstate '40001' using message = 'an idempotency key was used at the same time';
    end if;
  end if;

  if cardinality(v_events) > 0 then
    v_inserted := private.record_new_usage_events(v_events);
  end if;
  if cardinality(v_counted) > 0 then
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
  'Records what extensions observed. Takes an array of {id, session_id | api_key_id, provider, model, input_tokens, output_tokens, total_tokens, timestamp_ms, url, key}, returns an array in the same order: {id, recorded, duplicate}, with adjusted where a clock was ahead and summary_only where the event is too old to be kept, or {code} where the event was refused.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127220204', '8a5eb24f9cd9306a8a4bf78640525e4de66a189f7ec186843e963063baddce9d');
