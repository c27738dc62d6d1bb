-- Usage: what extensions observed elsewhere, kept once and rolled up in the same transaction.

-- Adds events to the rollups and totals, or with -1 takes them out again.
create or replace function private.roll_up_usage(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  insert into public.usage_rollups as r (
    subject_id, bucket, provider, model, source, events, prompts, input_tokens, output_tokens, total_tokens, cost
  )
  select e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch'), e.provider, e.model, e.source,
         count(*), sum(e.prompt_count), sum(e.input_tokens), sum(e.output_tokens), sum(e.total_tokens), sum(e.cost)
    from unnest(p_events) e
   group by 1, 2, 3, 4, 5
   order by 1, 2, 3, 4, 5
  on conflict (subject_id, bucket, provider, model, source) do update
    set events = r.events + excluded.events,
        prompts = r.prompts + excluded.prompts,
        input_tokens = r.input_tokens + excluded.input_tokens,
        output_tokens = r.output_tokens + excluded.output_tokens,
        total_tokens = r.total_tokens + excluded.total_tokens,
        cost = r.cost + excluded.cost;
  insert into public.usage_totals as t (
    bucket, shard, events, prompts, input_tokens, output_tokens, total_tokens, cost
  )
  select date_bin('15 minutes', e.occurred_at, 'epoch'), (pg_backend_pid() % 8)::smallint,
         count(*), sum(e.prompt_count), sum(e.input_tokens), sum(e.output_tokens), sum(e.total_tokens), sum(e.cost)
    from unnest(p_events) e
   group by 1
   order by 1
  on conflict (bucket, shard) do update
    set events = t.events + excluded.events,
        prompts = t.prompts + excluded.prompts,
        input_tokens = t.input_tokens + excluded.input_tokens,
        output_tokens = t.output_tokens + excluded.output_tokens,
        total_tokens = t.total_tokens + excluded.total_tokens,
        cost = t.cost + excluded.cost;
end
$$;
revoke all on function private.roll_up_usage(public.usage_events[]) from public, anon, authenticated, service_role;
comment on function private.roll_up_usage(public.usage_events[]) is 'Adds events to the quarter-hour rollups and totals.';

create or replace function private.ensure_usage_partitions(p_events public.usage_events[])
returns void
language sql volatile set search_path = ''
as $$
  select private.ensure_usage_partition(month)
    from (select distinct date_trunc('month', e.occurred_at, 'UTC') as month from unnest(p_events) e) months
$$;
revoke all on function private.ensure_usage_partitions(public.usage_events[]) from public, anon, authenticated, service_role;
comment on function private.ensure_usage_partitions(public.usage_events[]) is 'Creates the partitions these events fall into.';

create or replace function private.record_usage_events(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.ensure_usage_partitions(p_events);
  insert into public.usage_events select e.* from unnest(p_events) e;
  perform private.roll_up_usage(p_events);
end
$$;

-- The same, for events that may be there already: only new ones are kept and rolled up. Ordered, so that calls which
-- bring the same events cannot deadlock.
create or replace function private.record_new_usage_events(p_events public.usage_events[])
returns uuid[]
language plpgsql volatile set search_path = ''
as $$
declare
  v_inserted public.usage_events[];
begin
  perform private.ensure_usage_partitions(p_events);
  with inserted as (
    insert into public.usage_events
    select e.* from unnest(p_events) e order by e.subject_id, e.occurred_at, e.id
    on conflict do nothing
    returning *
  )
  select coalesce(array_agg(row(i.*)::public.usage_events), '{}') into v_inserted from inserted i;
  perform private.roll_up_usage(v_inserted);
  return array(select i.id from unnest(v_inserted) i);
end
$$;
revoke all on function private.record_new_usage_events(public.usage_events[]) from public, anon, authenticated, service_role;
comment on function private.record_new_usage_events(public.usage_events[]) is
  'Inserts the events that are not there yet and rolls them up; answers their ids.';

-- An observed event is told from others by what it says, so that the same one sent twice has the same id. The id begins
-- with its time (RFC 9562, version 8), so that it says where the event is kept.
create or replace function private.usage_event_id(p_user_id uuid, p_timestamp_ms bigint, p_content jsonb)
returns uuid
language sql immutable set search_path = ''
as $$
  select (
    lpad(to_hex(p_timestamp_ms), 12, '0') || '8' || substr(h.hex, 1, 3) || '8' || substr(h.hex, 4, 15)
  )::uuid
    from (
      select encode(sha256(convert_to(p_user_id || p_content::text, 'UTF8')), 'hex') as hex
    ) h
$$;
revoke all on function private.usage_event_id(uuid, bigint, jsonb) from public, anon, authenticated, service_role;
comment on function private.usage_event_id(uuid, bigint, jsonb) is
  'The id of an observed event: 48 bits of its time in milliseconds, then 72 bits of the SHA-256 of its user and content.';

create or replace function private.usage_event_time(p_id uuid)
returns timestamptz
language sql immutable set search_path = ''
as $$
  select timestamptz 'epoch'
    + ('x' || left(replace(p_id::text, '-', ''), 12))::bit(48)::bigint * interval '1 millisecond'
$$;
revoke all on function private.usage_event_time(uuid) from public, anon, authenticated, service_role;
comment on function private.usage_event_time(uuid) is 'When an observed event happened, by its id.';

-- A page's address without what may be secret in it: name and password, query, fragment. Browsers take a backslash for
-- a slash, and any number of them after the scheme.
create or replace function private.plain_url(p_url text)
returns text
language sql immutable set search_path = ''
as $$
  select nullif(
    regexp_replace(
      regexp_replace(p_url, '[?#].*$', ''), '^(\s*(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?[/\\]*)[^/\\]*@', '\1'
    ), ''
  )
$$;
revoke all on function private.plain_url(text) from public, anon, authenticated, service_role;
comment on function private.plain_url(text) is 'An address without user name, password, query and fragment; null for none.';

-- Where retention begins to drop: nothing older is taken in. Nor is anything for a month that was dropped once, though
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
revoke all on function private.usage_horizon(integer) from public, anon, authenticated, service_role;
comment on function private.usage_horizon(integer) is
  'The start of the oldest month that events are taken in for: what is kept, and was never dropped.';

-- A deletion under way ends first, and then finds nothing added behind its back; one that comes later waits for us.
create or replace function private.hold_users(p_items jsonb)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.users u
    where u.id in (select i.id from jsonb_to_recordset(p_items) as i(id uuid)) order by u.id for key share;
end
$$;
revoke all on function private.hold_users(jsonb) from public, anon, authenticated, service_role;
comment on function private.hold_users(jsonb) is
  'Keeps the accounts of these callers, where they are still there, until the transaction ends.';

create or replace function public.record_usage(p_items jsonb, p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of observed events and their rollups; no API role may write them itself.
declare
  v_horizon timestamptz := private.usage_horizon(p_retention_months);
  v_item record;
  v_code text;
  v_earlier jsonb;
  v_hash bytea;
  v_position integer;
  v_answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_items)]);
  v_ids uuid[] := array_fill(null::uuid, array[jsonb_array_length(p_items)]);
  v_events public.usage_events[] := '{}';
  v_stored private.idempotency_keys[] := '{}';
  v_keys text[] := '{}';
  v_new_keys integer;
  v_inserted uuid[] := '{}';
begin
  perform private.hold_users(p_items);
  for v_item in
    select i.*, c.live, b.period, k.request_hash as earlier_hash, k.answer as earlier_answer,
           private.usage_event_id(
             i.user_id, i.timestamp_ms,
             case when i.key is null then i.content else jsonb_build_array('key', i.key) end
           ) as event_id
      from (
        select p.*, timestamptz 'epoch' + p.timestamp_ms * interval '1 millisecond' as occurred_at,
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
                id, session_id, api_key_id, provider, model, input_tokens, output_tokens, total_tokens, timestamp_ms,
                url, key, ord
              )
          ) p
      ) i
      left join lateral (
        select private.is_live(i.user_id, i.session_id, i.api_key_id) as live
      ) c on true
      left join public.balances b on b.subject_id = i.user_id
      left join private.idempotency_keys k on k.subject_id = i.user_id and k.key = i.key
     order by i.ord
  loop
    v_hash := case when v_item.key is not null then sha256(convert_to(v_item.content::text, 'UTF8')) end;
    v_position := array_position(v_keys, v_item.user_id || v_item.key);
    v_earlier := case
      when v_item.earlier_hash is not null then v_item.earlier_answer
      when v_position is not null then v_stored[v_position].answer
    end;
    v_code := case
      when not v_item.live then 'INVALID_TOKEN'
      when v_item.total_tokens <> v_item.input_tokens + v_item.output_tokens then 'TOTAL_MISMATCH'
      when v_earlier is not null and coalesce(v_item.earlier_hash, v_stored[v_position].request_hash) <> v_hash
        then 'IDEMPOTENCY_MISMATCH'
      when v_earlier is not null then null
      when v_item.occurred_at > now() + interval '5 minutes' or v_item.occurred_at < v_horizon
        then 'TIMESTAMP_OUT_OF_RANGE'
    end;
    if v_code is not null then
      v_answers[v_item.ord] := jsonb_build_object('code', v_code);
    elsif v_earlier is not null then
      v_answers[v_item.ord] := v_earlier || '{"recorded": true, "duplicate": true}';
    else
      v_ids[v_item.ord] := v_item.event_id;
      v_events := v_events || row(
        v_item.event_id, v_item.user_id, v_item.user_id, null, 'extension', v_item.provider, v_item.model, 1,
        v_item.input_tokens, v_item.output_tokens, v_item.input_tokens + v_item.output_tokens, 0,
        'client_reported', v_item.period, v_item.url, v_item.occurred_at, now()
      )::public.usage_events;
      if v_item.key is not null then
        v_stored := v_stored || row(
          v_item.user_id, v_item.key, v_hash, jsonb_build_object('id', v_item.event_id), now()
        )::private.idempotency_keys;
        v_keys := v_keys || (v_item.user_id || v_item.key);
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
revoke all on function public.record_usage(jsonb, integer) from public, anon, authenticated, service_role;
grant execute on function public.record_usage(jsonb, integer) to service_role;
comment on function public.record_usage(jsonb, integer) is
  'Records what extensions observed. Takes an array of {id, session_id | api_key_id, provider, model, input_tokens, output_tokens, total_tokens, timestamp_ms, url, key}, answers an array in the same order: {id, recorded, duplicate}, or {code} where the event was refused.';
