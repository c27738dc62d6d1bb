-- Trackers are bounded, revocable and can be set right: a version and a switch for each account's tracker tokens, and what
-- was counted today. The limiter learns the tier of an account.

alter table public.tracker_counters
  add column if not exists version integer not null default 1 check (version > 0),
  add column if not exists enabled boolean not null default true,
  add column if not exists counted_on date not null default '-infinity',
  add column if not exists day_prompts bigint not null default 0 check (day_prompts >= 0),
  add column if not exists day_tokens bigint not null default 0 check (day_tokens >= 0);
comment on table public.tracker_counters is 'What clients tracked for each account, summed. Written only by the functions of trackers; always the sum of the account''s rollups with the source tracker.';
comment on column public.tracker_counters.version is 'Tracker tokens carry this number; raising it ends them all.';
comment on column public.tracker_counters.enabled is 'Whether tracker tokens are made for the account.';
comment on column public.tracker_counters.counted_on is 'The day (UTC) the next two columns are about.';
comment on column public.tracker_counters.day_prompts is 'Prompts tracked on that day, which is limited.';
comment on column public.tracker_counters.day_tokens is 'Tokens tracked on that day.';

set check_function_bodies = off;

drop function if exists public.tracker_user(p_email text);

create or replace function private.apply_tracker_changes(p_user_id uuid, p_changes jsonb, p_actor text, p_request_id text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_before public.tracker_counters;
  v_after public.tracker_counters;
begin
  if p_changes = '{}' then
    select c.* into v_before from public.tracker_counters c where c.user_id = p_user_id;
    return private.tracker_json(v_before);
  end if;
  insert into public.tracker_counters (user_id) values (p_user_id) on conflict (user_id) do nothing;
  select c.* into v_before from public.tracker_counters c where c.user_id = p_user_id for update;
  update public.tracker_counters c
     set prompts = coalesce((p_changes ->> 'prompts')::integer, c.prompts),
         tokens = coalesce((p_changes ->> 'tokens')::bigint, c.tokens),
         enabled = coalesce((p_changes ->> 'enabled')::boolean, c.enabled),
         version = c.version + case
           when coalesce((p_changes ->> 'revoke')::boolean, false) or p_changes ->> 'enabled' = 'false' then 1
           else 0
         end,
         updated_at = now()
   where c.user_id = p_user_id
  returning * into v_after;
  if p_changes ? 'prompts' then
    perform private.replace_tracked(p_user_id, v_after.prompts::integer, v_after.tokens);
  end if;
  perform private.audit(
    p_actor, p_request_id, 'change_tracker', 'user:' || p_user_id,
    private.tracker_json(v_before) || jsonb_build_object('version', v_before.version),
    private.tracker_json(v_after) || jsonb_build_object('version', v_after.version)
  );
  return private.tracker_json(v_after);
end
$$;
comment on function private.apply_tracker_changes(uuid, jsonb, text, text) is
  'Changes an account''s counters and who may count, as change_tracker says, and writes it into the audit log. The account must be locked.';

-- What a stranger counted cannot be told from what the account's own clients did: the account says what is right.
create or replace function private.replace_tracked(p_user_id uuid, p_prompts integer, p_tokens bigint)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_gone public.usage_totals;
  v_period integer;
begin
  delete from public.usage_events e where e.subject_id = p_user_id and e.source = 'tracker';
  for v_gone in
    with gone as (
      delete from public.usage_rollups r where r.subject_id = p_user_id and r.source = 'tracker' returning r.*
    )
    select g.bucket, 0, sum(g.events), sum(g.prompts), sum(g.input_tokens), sum(g.output_tokens), sum(g.total_tokens), sum(g.cost)
      from gone g group by g.bucket order by g.bucket
  loop
    perform private.take_out_total(v_gone);
  end loop;
  if p_prompts > 0 or p_tokens > 0 then
    select b.period into v_period from public.balances b where b.subject_id = p_user_id;
    perform private.record_usage_events(array[row(
      gen_random_uuid(), p_user_id, p_user_id, null, 'tracker', 'unknown', 'unknown', p_prompts,
      0, 0, p_tokens, 0, 'client_reported', v_period, null, now(), now()
    )::public.usage_events]);
  end if;
end
$$;
comment on function private.replace_tracked(uuid, integer, bigint) is
  'Replaces all that was tracked for an account, in its events, rollups and the totals, by one event of now.';

create or replace function private.take_out_total(p_gone public.usage_totals)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_left public.usage_totals;
begin
  -- Events may have been counted in any shard, so the bucket's shards become one. One deletion at a time: the next
  -- one must see the shard this one leaves.
  perform pg_advisory_xact_lock(hashtextextended('public.usage_totals', extract(epoch from p_gone.bucket)::bigint));
  with gone as (
    delete from public.usage_totals where bucket = p_gone.bucket returning *
  )
  select p_gone.bucket, 0, sum(g.events) - p_gone.events, sum(g.prompts) - p_gone.prompts,
         sum(g.input_tokens) - p_gone.input_tokens, sum(g.output_tokens) - p_gone.output_tokens,
         sum(g.total_tokens) - p_gone.total_tokens, sum(g.cost) - p_gone.cost
    into v_left
    from gone g;
  insert into public.usage_totals as t select v_left.* where v_left.events > 0
  on conflict (bucket, shard) do update
    set events = t.events + excluded.events, prompts = t.prompts + excluded.prompts,
        input_tokens = t.input_tokens + excluded.input_tokens, output_tokens = t.output_tokens + excluded.output_tokens,
        total_tokens = t.total_tokens + excluded.total_tokens, cost = t.cost + excluded.cost;
end
$$;
comment on function private.take_out_total(public.usage_totals) is
  'Takes what events of a quarter hour added up to out of everybody''s total of it; its shard does not matter. An empty total goes.';

create or replace function private.take_out_usage(p_event public.usage_events)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_bucket timestamptz := date_bin('15 minutes', p_event.occurred_at, 'epoch');
begin
  update public.usage_rollups r
     set events = r.events - 1, prompts = r.prompts - p_event.prompt_count,
         input_tokens = r.input_tokens - p_event.input_tokens, output_tokens = r.output_tokens - p_event.output_tokens,
         total_tokens = r.total_tokens - p_event.total_tokens, cost = r.cost - p_event.cost
   where r.subject_id = p_event.subject_id and r.bucket = v_bucket and r.provider = p_event.provider
     and r.model = p_event.model and r.source = p_event.source;
  delete from public.usage_rollups r
   where r.subject_id = p_event.subject_id and r.bucket = v_bucket and r.provider = p_event.provider
     and r.model = p_event.model and r.source = p_event.source and r.events = 0;
  perform private.take_out_total(row(
    v_bucket, 0, 1, p_event.prompt_count, p_event.input_tokens, p_event.output_tokens, p_event.total_tokens, p_event.cost
  )::public.usage_totals);
end
$$;
comment on function private.take_out_usage(public.usage_events) is 'Takes one event out of its rollup and the totals; empty ones go.';

create or replace function private.tracker_json(p_counters public.tracker_counters)
returns jsonb
language sql immutable set search_path = ''
as $$
  select jsonb_build_object(
    'prompts', coalesce(p_counters.prompts, 0),
    'tokens', coalesce(p_counters.tokens, 0),
    'enabled', coalesce(p_counters.enabled, true)
  )
$$;
comment on function private.tracker_json(public.tracker_counters) is
  'Returns an account''s counters as {prompts, tokens, enabled}, also for a row that is not there yet.';

-- An account is named by its id, or as google:<subject> where only the access token of Google's is at hand.
create or replace function public.account_tier(p_account text)
returns text
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads everybody's subscription, which no API role may.
declare
  v_user_id uuid;
begin
  if p_account like 'google:%' then
    select e.user_id into v_user_id
      from private.external_identities e
     where e.provider = 'google' and e.subject = substr(p_account, length('google:') + 1);
  else
    v_user_id := p_account::uuid;
  end if;
  return (select public.effective_tier(s) from public.subscriptions s where s.user_id = v_user_id);
end
$$;
grant execute on function public.account_tier(text) to service_role;
comment on function public.account_tier(text) is
  'Returns the tier whose limits hold for an account, named by its id or as google:<subject>; null without a subscription.';

create or replace function public.change_tracker(p_caller jsonb, p_changes jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: counters, events and the audit log are written by no API role.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  return private.apply_tracker_changes(v_user_id, p_changes, 'user:' || v_user_id, null);
end
$$;
grant execute on function public.change_tracker(jsonb, jsonb) to service_role;
comment on function public.change_tracker(jsonb, jsonb) is
  'Changes the caller''s tracker: {prompts, tokens} replace what was counted, {enabled: false} ends all tracker tokens and makes no more, {revoke: true} ends them, {} only reads. Returns {prompts, tokens, enabled}.';

create or replace function public.change_user_tracker(p_actor jsonb, p_user_id uuid, p_changes jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: counters, events and the audit log are written by no API role.
declare
  v_actor text := private.require_admin(p_actor);
begin
  perform from public.users u where u.id = p_user_id for no key update;
  if not found then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  return private.apply_tracker_changes(p_user_id, p_changes, v_actor, p_actor ->> 'request_id');
end
$$;
grant execute on function public.change_user_tracker(jsonb, uuid, jsonb) to service_role;
comment on function public.change_user_tracker(jsonb, uuid, jsonb) is
  'Does for an admin with any account what change_tracker does with one''s own; raises USER_NOT_FOUND.';

create or replace function public.export_account(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read sessions, keys and identities. Columns are named one by one, so that no secret
-- that is added to a table gets out here.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return jsonb_build_object(
    'profile', (select private.profile_json(u) from public.users u where u.id = v_user_id),
    'identities', (
      select coalesce(jsonb_agg(to_jsonb(row) order by row.created_at, row.provider), '[]')
        from (
          select i.provider, i.subject, i.email, i.created_at, i.last_used_at
            from private.external_identities i where i.user_id = v_user_id
        ) row
    ),
    'sessions', (
      select coalesce(jsonb_agg(to_jsonb(row) order by row.created_at, row.id), '[]')
        from (
          select s.id, s.created_at, s.last_used_at, s.expires_at, s.user_agent, s.address
            from private.sessions s where s.user_id = v_user_id
        ) row
    ),
    'api_keys', (
      select coalesce(jsonb_agg(private.api_key_json(k) order by k.created_at, k.id), '[]')
        from private.api_keys k where k.user_id = v_user_id
    ),
    'tracker', (
      select to_jsonb(c) - '{user_id,version,counted_on,day_prompts,day_tokens}'::text[] from public.tracker_counters c where c.user_id = v_user_id
    ),
    'known_addresses', (
      select coalesce(jsonb_agg(to_jsonb(row) order by row.last_login_at, row.address), '[]')
        from (
          select a.address, a.last_login_at from private.known_addresses a where a.account = 'user:' || v_user_id
        ) row
    )
  );
end
$$;
grant execute on function public.export_account(jsonb) to service_role;
comment on function public.export_account(jsonb) is
  'Returns what is held about the caller in few rows: profile, identities, sessions, API keys, tracker counters, addresses logged in from.';

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

create or replace function public.tracker_subject(p_email text)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every account, which no API role may.
declare
  v_user_id uuid;
  v_counters public.tracker_counters;
begin
  select u.id into v_user_id from public.users u where u.email = p_email;
  if v_user_id is null then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  select c.* into v_counters from public.tracker_counters c where c.user_id = v_user_id;
  if not coalesce(v_counters.enabled, true) then
    raise sqlstate 'PT403' using message = 'TRACKER_DISABLED';
  end if;
  return jsonb_build_object('id', v_user_id, 'version', coalesce(v_counters.version, 1));
end
$$;
grant execute on function public.tracker_subject(text) to service_role;
comment on function public.tracker_subject(text) is
  'Returns the account with this address, in lower case, for whom a tracker token is made: {id, version}. Raises USER_NOT_FOUND, and TRACKER_DISABLED where the account takes none.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127203119', '48bb46439ebc1c7bcb2bcf935ce81fa094d3f1aea68237861456e9f750210bca');
