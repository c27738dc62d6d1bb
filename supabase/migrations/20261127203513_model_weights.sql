-- A token of an expensive model can debit more than one of a cheap one.

create table if not exists public.model_weights (
  model text primary key check (model = lower(btrim(model)) and length(model) between 1 and 200),
  input_weight numeric(12, 4) not null check (input_weight between 0 and 1000000),
  output_weight numeric(12, 4) not null check (output_weight between 0 and 1000000),
  source text not null default 'operator' check (source in ('operator', 'upstream')),
  comment text check (length(comment) <= 500),
  updated_at timestamptz not null default now()
);
alter table public.model_weights enable row level security;
comment on table public.model_weights is 'Tokens a token of a model debits from an account in chat; 1 for models without a row. Edit rows freely; the next request uses the new weight.';
comment on column public.model_weights.model is 'The model in lower case; vendor/* stands for all of a vendor without a row of their own, * for all others, *:free for free ones.';
comment on column public.model_weights.input_weight is 'Tokens debited for one token of the prompt.';
comment on column public.model_weights.output_weight is 'Tokens debited for one token of the answer.';
comment on column public.model_weights.source is 'operator, or upstream: derived from its prices, and overwritten when they change. Set it to operator to keep an edited row.';
comment on column public.model_weights.comment is 'Why, for those who come after.';
comment on column public.model_weights.updated_at is 'When the weight last changed.';
alter table public.generations
  add column if not exists input_weight numeric(12, 4) not null default 1 check (input_weight >= 0),
  add column if not exists output_weight numeric(12, 4) not null default 1 check (output_weight >= 0);
comment on column public.generations.input_weight is 'What a token of the prompt debits: the model''s weight when the hold was taken.';
comment on column public.generations.output_weight is 'What a token of the answer debits: the model''s weight when the hold was taken.';

set check_function_bodies = off;

create or replace function private.affordable_tokens(p_wanted bigint, p_available numeric, p_weight numeric)
returns bigint
language sql immutable set search_path = ''
as $$
  select case
    when p_available < 0 then 0
    when p_weight = 0 then p_wanted
    else least(p_wanted, floor(p_available / p_weight))
  end::bigint
$$;
comment on function private.affordable_tokens(bigint, numeric, numeric) is
  'Returns how many of the wanted tokens of an answer a balance pays for, each at a weight.';

-- Changes what a closed generation came to, by a ledger entry: what it was settled at stays in its event. The caller has
-- locked the pool and then the balance.
create or replace function private.change_settlement(
  p_generation public.generations, p_provenance text, p_input bigint, p_output bigint, p_actor text
)
returns bigint
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
  v_difference bigint :=
    private.weighted_tokens(p_generation, p_generation.input_tokens, p_generation.output_tokens)
    - private.weighted_tokens(p_generation, p_input, p_output);
  v_amount bigint;
begin
  select b.* into strict v_balance from public.balances b where b.subject_id = p_generation.subject_id;
  v_amount := case
    when v_difference > 0 then greatest(v_difference - p_generation.uncollected, 0)
    -- More than an account was ever given, and does not hold for others, cannot be taken from it.
    else greatest(v_difference, v_balance.reserved - v_balance.allocated)
  end;
  if v_amount <> 0 then
    -- What can no longer be taken back becomes debt.
    update public.balances b
       set allocated = b.allocated + v_amount,
           used = b.used - greatest(b.used + b.reserved - b.allocated - v_amount, 0),
           debt = b.debt + greatest(b.used + b.reserved - b.allocated - v_amount, 0),
           updated_at = now()
     where b.subject_id = p_generation.subject_id;
    insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference)
    values (
      p_generation.subject_id, 'correction', v_amount, v_balance.period, p_actor, 'generation:' || p_generation.id
    );
    update public.budgets set allocated = allocated + v_amount, updated_at = now() where subject_kind = 'user';
  end if;
  update public.generations g
     set provenance = p_provenance, input_tokens = p_input, output_tokens = p_output,
         provider = p_generation.provider, upstream_id = p_generation.upstream_id,
         input_floor = p_generation.input_floor, output_floor = p_generation.output_floor,
         uncollected = g.uncollected + v_amount - v_difference,
         reconcile_at = p_generation.reconcile_at
   where g.id = p_generation.id;
  return v_amount;
end
$$;
comment on function private.change_settlement(public.generations, text, bigint, bigint, text) is
  'Changes what a closed generation came to, with a ledger entry for the difference; returns the tokens given back, negative where more were taken. The pool and the balance must be locked by the caller.';

-- Ends a running generation: its hold goes, its cost is debited, and where that is more than hold and balance together
-- the rest becomes debt. The caller has locked the balance, and records the event that is answered.
create or replace function private.close_generation(
  p_generation public.generations, p_status text, p_provenance text, p_input bigint, p_output bigint
)
returns public.usage_events
language plpgsql volatile set search_path = ''
as $$
declare
  v_cost bigint := private.weighted_tokens(p_generation, p_input, p_output);
  v_held bigint;
  v_period integer;
begin
  update public.reservations r
     set status = p_status, closed_at = now(), usage_event_id = case when p_input + p_output > 0 then r.id end
   where r.id = p_generation.id and r.status = 'held'
  returning r.amount into strict v_held;
  update public.balances b
     set reserved = b.reserved - v_held,
         used = b.used + least(v_cost, b.allocated - b.used - b.reserved + v_held),
         debt = b.debt + v_cost - least(v_cost, b.allocated - b.used - b.reserved + v_held),
         updated_at = now()
   where b.subject_id = p_generation.subject_id
  returning b.period into strict v_period;
  update public.generations g
     set provenance = p_provenance, input_tokens = p_input, output_tokens = p_output,
         provider = p_generation.provider, upstream_id = p_generation.upstream_id,
         input_floor = p_generation.input_floor, output_floor = p_generation.output_floor,
         reconcile_at = case when p_provenance = 'estimated' and p_generation.upstream_id is not null then now() end
   where g.id = p_generation.id;
  return row(
    p_generation.id, p_generation.subject_id, p_generation.subject_id, null, p_generation.source,
    coalesce(p_generation.provider, 'unknown'), p_generation.model, 1, p_input, p_output, p_input + p_output, v_cost,
    p_provenance, v_period, null, now(), now()
  )::public.usage_events;
end
$$;
comment on function private.close_generation(public.generations, text, text, bigint, bigint) is
  'Settles a running generation and returns the usage event to record; the balance must be locked by the caller.';

-- Suffixes choose among providers of a model and weigh what it does; a free variant is another thing, and is never
-- weighed by the price of the model it is a variant of.
create or replace function private.find_model_weight(p_model text)
returns public.model_weights
language sql stable set search_path = ''
as $$
  select w.*
    from unnest(case
           when p_model like '%:free' then array[p_model, '*:free']
           else array[p_model, split_part(p_model, ':', 1), split_part(p_model, '/', 1) || '/*', '*']
         end) with ordinality as name(model, rank)
    join public.model_weights w on w.model = name.model
   order by name.rank
   limit 1
$$;
comment on function private.find_model_weight(text) is
  'Returns the weight of a model: its own, without its suffix, of its vendor, or of all others; null where none has a row.';

-- What is not known any more is settled at what was noted of it, and a little more, as something may have come since the
-- last note: a running stream is noted every 512 tokens, so that with half of them neither side is out by more than the
-- other half. Answers that come whole are not noted, and upstream finishes and bills them whatever happens here: they
-- are settled at the whole hold. So is what runs still, when its account ends.
create or replace function private.settle_lost_generations(
  p_subjects uuid[], p_expired_by timestamptz, p_except uuid[] default '{}'
)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_allowance constant bigint := 256;
  v_lost record;
  v_generation public.generations;
  v_seen bigint;
  v_held numeric;
  v_output bigint;
  v_events public.usage_events[] := '{}';
begin
  for v_lost in
    select r.id, r.amount, r.expires_at from public.reservations r
     where r.subject_id = any (p_subjects) and r.status = 'held' and r.expires_at <= p_expired_by
       and r.id <> all (p_except)
     order by r.id
  loop
    select g.* into v_generation from public.generations g where g.id = v_lost.id;
    continue when not found;
    v_seen := coalesce(v_generation.output_seen, 0);
    v_held := v_lost.amount - v_generation.input_estimate * v_generation.input_weight;
    v_output := case
      when v_generation.streamed and v_lost.expires_at <= now()
        then private.affordable_tokens(v_seen + v_allowance, v_held, v_generation.output_weight)
      when v_generation.output_weight > 0 then floor(v_held / v_generation.output_weight)
      else 0
    end;
    v_events := v_events || private.close_generation(
      v_generation, 'lost', 'estimated', coalesce(v_generation.input_seen, v_generation.input_estimate),
      greatest(v_output, v_seen)
    );
  end loop;
  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  return cardinality(v_events);
end
$$;
comment on function private.settle_lost_generations(uuid[], timestamptz, uuid[]) is
  'Settles generations whose server went away, except those given: streams at what was noted of them and up to 256 tokens more, answers that come whole, and what runs still, at their holds. Returns how many. The balances must be locked by the caller.';

create or replace function private.weighted_tokens(p_generation public.generations, p_input bigint, p_output bigint)
returns bigint
language sql immutable set search_path = ''
as $$
  select ceil(p_input * p_generation.input_weight + p_output * p_generation.output_weight)::bigint
$$;
comment on function private.weighted_tokens(public.generations, bigint, bigint) is
  'Returns what tokens of a generation debit, by the weights its hold was taken with.';

create or replace function public.export_generations(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at, page.id), '[]')
      from (
        select g.id, g.source, g.model, g.provider, g.upstream_id, g.input_estimate, g.provenance,
               g.input_tokens, g.output_tokens, g.uncollected, g.input_weight, g.output_weight, g.created_at
          from public.generations g
         where g.subject_id = v_user_id and (g.created_at, g.id) > (p_after_at, p_after_id)
         order by g.created_at, g.id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_generations(integer, timestamptz, uuid) to authenticated;
comment on function public.export_generations(integer, timestamptz, uuid) is
  'Returns the caller''s chat requests, oldest first; after (time, id) to page on.';

create or replace function public.list_model_weights(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read model_weights.
begin
  perform private.require_admin(p_actor);
  return (select coalesce(jsonb_agg(to_jsonb(w) order by w.model), '[]') from public.model_weights w);
end
$$;
grant execute on function public.list_model_weights(jsonb) to service_role;
comment on function public.list_model_weights(jsonb) is 'Returns all weights of models; those without a row weigh 1.';

create or replace function public.meter_chat(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of generations; no API role may write balances, holds or events itself.
declare
  v_item record;
  v_weight public.model_weights;
  v_available bigint;
  v_amount bigint;
  v_generation public.generations;
  v_balance public.balances;
  v_status text;
  v_output bigint;
  v_subjects uuid[];
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_events public.usage_events[] := '{}';
  v_has_pool boolean;
begin
  -- What was given up for lost is corrected, which takes the pool, and the pool comes before the balances.
  select coalesce(bool_or(
           (select r.status from public.reservations r where r.id = (i ->> 'hold')::uuid) = 'lost'
         ), false)
    into v_has_pool
    from jsonb_array_elements(p_items) i where i ->> 'op' = 'settle';
  if v_has_pool then
    perform from public.budgets where subject_kind = 'user' for update;
  end if;
  select array_agg(distinct s.subject_id) into v_subjects
    from (
      select coalesce(g.subject_id, i.id, e.user_id) as subject_id
        from jsonb_to_recordset(p_items) as i(op text, id uuid, google_subject text, hold uuid)
        left join public.generations g on g.id = i.hold and i.op <> 'reserve'
        left join private.external_identities e on e.provider = 'google' and e.subject = i.google_subject
    ) s;
  perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
  if exists (
    select from public.reservations r
     where r.subject_id = any (v_subjects) and r.status = 'held' and r.expires_at <= now()
  ) then
    -- A server that comes back late knows better what its stream came to than the hold does.
    perform private.settle_lost_generations(
      v_subjects, now(), array(select (i ->> 'hold')::uuid from jsonb_array_elements(p_items) i)
    );
  end if;

  for v_item in
    select i.*, coalesce(i.id, e.user_id) as user_id
      from rows from (
        jsonb_to_recordset(p_items) as (
          op text, id uuid, session_id uuid, api_key_id uuid, google_subject text, hold uuid, source text, model text,
          input_estimate bigint, output_tokens bigint, idempotency_key text, request_hash text, provider text,
          upstream_id text, provenance text, input_tokens bigint, streamed boolean, input_seen bigint,
          output_seen bigint, input_floor bigint, output_floor bigint
        )
      ) with ordinality as i(
        op, id, session_id, api_key_id, google_subject, hold, source, model, input_estimate, output_tokens,
        idempotency_key, request_hash, provider, upstream_id, provenance, input_tokens, streamed, input_seen,
        output_seen, input_floor, output_floor, ord
      )
      left join private.external_identities e on e.provider = 'google' and e.subject = i.google_subject
     order by i.ord
  loop
    v_answer := null;
    if v_item.op = 'reserve' then
      select b.* into v_balance from public.balances b where b.subject_id = v_item.user_id;
      v_available := v_balance.allocated - v_balance.used - v_balance.reserved;
      v_weight := private.find_model_weight(v_item.model);
      v_generation := null;
      v_generation.input_weight := coalesce(v_weight.input_weight, 1);
      v_generation.output_weight := coalesce(v_weight.output_weight, 1);
      v_output := private.affordable_tokens(
        v_item.output_tokens, v_available - v_item.input_estimate * v_generation.input_weight, v_generation.output_weight
      );
      v_amount := private.weighted_tokens(v_generation, v_item.input_estimate, v_output);
      v_answer := case
        when v_item.google_subject is not null and v_item.user_id is null then '{"code": "USER_NOT_FOUND"}'
        when v_balance.subject_id is null
          or not private.is_credential_valid(v_item.user_id, v_item.session_id, v_item.api_key_id) then '{"code": "INVALID_TOKEN"}'
        when v_output < 1 then jsonb_build_object(
          'code', 'INSUFFICIENT_TOKENS',
          'requested', private.weighted_tokens(v_generation, v_item.input_estimate, 1), 'remaining', v_available
        )
      end;
      if v_answer is null and v_item.idempotency_key is not null then
        insert into private.idempotency_keys (subject_id, key, request_hash, answer)
        values (
          v_item.user_id, v_item.idempotency_key, decode(v_item.request_hash, 'hex'),
          jsonb_build_object('hold', v_item.hold)
        )
        on conflict (subject_id, key) do nothing;
        if not found then
          -- The answer was not kept, so it cannot be given again; it must not be paid for again either.
          select jsonb_build_object('code', case
                   when k.request_hash = decode(v_item.request_hash, 'hex') then 'ALREADY_ANSWERED'
                   else 'IDEMPOTENCY_MISMATCH'
                 end)
            into strict v_answer
            from private.idempotency_keys k
           where k.subject_id = v_item.user_id and k.key = v_item.idempotency_key;
        end if;
      end if;
      if v_answer is null then
        update public.balances b
           set reserved = b.reserved + v_amount, updated_at = now()
         where b.subject_id = v_item.user_id and b.allocated - b.used - b.reserved >= v_amount
        returning b.* into strict v_balance;
        insert into public.reservations (id, subject_id, amount, model, prompt_count, expires_at)
        values (
          v_item.hold, v_item.user_id, v_amount, v_item.model, 1, now() + interval '5 minutes'
        );
        -- With its weights, which hold for all of the request, whatever becomes of the model's.
        insert into public.generations (
          id, subject_id, source, model, input_estimate, streamed, input_weight, output_weight
        )
        values (
          v_item.hold, v_item.user_id, v_item.source, v_item.model, v_item.input_estimate,
          coalesce(v_item.streamed, false), v_generation.input_weight, v_generation.output_weight
        );
        v_answer := jsonb_build_object(
          'output_tokens', v_output, 'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
        );
      end if;
    else
      select g.* into v_generation from public.generations g where g.id = v_item.hold;
      select r.status into v_status from public.reservations r where r.id = v_item.hold;
      select b.* into v_balance from public.balances b where b.subject_id = v_generation.subject_id;
      v_generation.provider := coalesce(v_item.provider, v_generation.provider);
      v_generation.upstream_id := coalesce(v_item.upstream_id, v_generation.upstream_id);
      v_generation.input_floor := coalesce(v_item.input_floor, v_generation.input_floor);
      v_generation.output_floor := coalesce(v_item.output_floor, v_generation.output_floor);
      if v_status is null then
        v_answer := '{"code": "RESERVATION_NOT_FOUND"}';
      elsif v_item.op = 'extend' and v_status <> 'held' then
        v_answer := '{"code": "RESERVATION_SETTLED"}';
      elsif v_item.op = 'extend' then
        -- Also with nothing to add: a running stream says that it is still there, and how far it has come.
        v_output := private.affordable_tokens(
          v_item.output_tokens, v_balance.allocated - v_balance.used - v_balance.reserved, v_generation.output_weight
        );
        v_amount := private.weighted_tokens(v_generation, 0, v_output);
        update public.balances b
           set reserved = b.reserved + v_amount, updated_at = now()
         where b.subject_id = v_generation.subject_id and v_output > 0;
        -- Not at every note, as its expiry is in two indexes.
        update public.reservations r
           set amount = r.amount + v_amount, expires_at = now() + interval '5 minutes'
         where r.id = v_item.hold and (v_output > 0 or r.expires_at < now() + interval '4 minutes');
        update public.generations g
           set provider = v_generation.provider, upstream_id = v_generation.upstream_id,
               input_seen = coalesce(v_item.input_seen, g.input_seen),
               output_seen = coalesce(v_item.output_seen, g.output_seen),
               input_floor = v_generation.input_floor, output_floor = v_generation.output_floor
         where g.id = v_item.hold;
        v_answer := jsonb_build_object('output_tokens', v_output);
      elsif v_item.op = 'settle' then
        -- Only the first settlement counts: one that is sent again finds the hold closed.
        if v_status = 'held' and v_item.input_tokens + v_item.output_tokens > 0 then
          v_events := v_events || private.close_generation(
            v_generation, 'settled', v_item.provenance, v_item.input_tokens, v_item.output_tokens
          );
        elsif v_status = 'held' then
          -- What was not billed may be asked for again with the same key.
          delete from private.idempotency_keys k
           where k.subject_id = v_generation.subject_id and k.answer = jsonb_build_object('hold', v_item.hold);
          perform private.close_generation(v_generation, 'released', null, 0, 0);
        elsif v_status = 'lost' and v_generation.provenance = 'estimated'
          and exists (select from public.users u where u.id = v_generation.subject_id) then
          -- A server that was out of reach for long knows what its stream came to; the hold was only an estimate of it.
          if not v_has_pool then
            raise sqlstate '40001' using message = 'a hold was given up for lost at the same time';
          end if;
          v_generation.reconcile_at := case
            when v_item.provenance = 'estimated' and v_generation.upstream_id is not null then now()
          end;
          perform private.change_settlement(
            v_generation, v_item.provenance, v_item.input_tokens, v_item.output_tokens, 'system:late_settlement'
          );
          update public.reservations r set status = 'settled' where r.id = v_item.hold;
        end if;
        select jsonb_build_object(
                 'tokens_used', private.weighted_tokens(g, g.input_tokens, g.output_tokens), 'remaining', b.allocated - b.used - b.reserved
               )
          into strict v_answer
          from public.generations g join public.balances b on b.subject_id = g.subject_id
         where g.id = v_item.hold;
      else
        raise exception 'unknown metering operation %', v_item.op using errcode = '22023';
      end if;
    end if;
    v_answers := v_answers || v_answer;
  end loop;

  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.meter_chat(jsonb) to service_role;
comment on function public.meter_chat(jsonb) is
  'Takes, extends and settles holds of chat requests in one transaction. Takes an array of {op: reserve, id, session_id | api_key_id or google_subject, hold, source, model, streamed, input_estimate, output_tokens, idempotency_key, request_hash}, {op: extend, hold, output_tokens, input_seen, output_seen, input_floor, output_floor, provider, upstream_id} and {op: settle, hold, input_tokens, output_tokens, provenance, input_floor, output_floor, provider, upstream_id}; returns an array in the same order: {output_tokens, remaining}, {output_tokens}, {tokens_used, remaining}, or {code, …} where the item was refused.';

create or replace function public.refresh_model_weights(p_weights jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write model_weights.
declare
  v_removed integer;
  v_changed integer;
begin
  delete from public.model_weights w
   where w.source = 'upstream'
     and not exists (select from jsonb_to_recordset(p_weights) as given(model text) where lower(given.model) = w.model);
  get diagnostics v_removed = row_count;
  -- In order, as other servers may do the same.
  insert into public.model_weights as w (model, input_weight, output_weight, source)
  select distinct on (1) lower(given.model), given.input_weight, given.output_weight, 'upstream'
    from jsonb_to_recordset(p_weights) as given(model text, input_weight numeric, output_weight numeric)
   order by 1
  on conflict (model) do update
    set input_weight = excluded.input_weight, output_weight = excluded.output_weight, updated_at = now()
   where w.source = 'upstream'
     and (w.input_weight, w.output_weight) is distinct from (excluded.input_weight, excluded.output_weight);
  get diagnostics v_changed = row_count;
  return jsonb_build_object('changed', v_changed, 'removed', v_removed);
end
$$;
grant execute on function public.refresh_model_weights(jsonb) to service_role;
comment on function public.refresh_model_weights(jsonb) is
  'Replaces the weights that come from upstream by those given as [{model, input_weight, output_weight}]; the operator''s stay. Returns {changed, removed}.';

create or replace function public.set_model_weights(p_actor jsonb, p_weights jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may write model_weights.
declare
  v_actor text := private.require_admin(p_actor);
  v_before jsonb := public.list_model_weights(p_actor);
begin
  delete from public.model_weights w
   using jsonb_to_recordset(p_weights) as given(model text, input_weight numeric)
   where w.model = lower(btrim(given.model)) and given.input_weight is null;
  insert into public.model_weights (model, input_weight, output_weight, comment)
  select distinct on (1) lower(btrim(given.model)), given.input_weight,
         coalesce(given.output_weight, given.input_weight), given.comment
    from rows from (
      jsonb_to_recordset(p_weights) as (model text, input_weight numeric, output_weight numeric, comment text)
    ) with ordinality as given(model, input_weight, output_weight, comment, ord)
   where given.input_weight is not null
   order by 1, given.ord desc
  on conflict (model) do update
    set input_weight = excluded.input_weight, output_weight = excluded.output_weight, source = 'operator',
        comment = excluded.comment, updated_at = now();
  perform private.audit(
    v_actor, p_actor ->> 'request_id', 'set_model_weights', null, v_before, public.list_model_weights(p_actor)
  );
  return public.list_model_weights(p_actor);
end
$$;
grant execute on function public.set_model_weights(jsonb, jsonb) to service_role;
comment on function public.set_model_weights(jsonb, jsonb) is
  'Sets the weights given as [{model, input_weight, output_weight, comment}], where the output weighs as the input unless it is given; removes those whose input_weight is null, leaves the others. Returns all weights.';

create or replace function public.verify_ledger()
returns table (name text, ok boolean, checked bigint, discrepancies jsonb)
language plpgsql stable security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: reads every subject's rows, which no API role may. Stable: one snapshot for all checks.
begin
  return query
  with
  allocations as (
    select b.subject_id, b.allocated as stated, coalesce(e.total, 0) as proven
      from public.balances b
      full join (select subject_id, sum(amount) as total from public.ledger_entries group by subject_id) e using (subject_id)
  ),
  spent as (
    select b.subject_id, b.used + b.debt as stated, coalesce(e.total, 0) as proven
      from public.balances b
      left join (
        select subject_id, period, sum(cost) as total
          from (
            select subject_id, period, cost from public.usage_events
            union all
            select subject_id, period, cost from private.retired_usage
          ) debits
         group by subject_id, period
      ) e on e.subject_id = b.subject_id and e.period = b.period
  ),
  held as (
    select subject_id, b.reserved as stated, coalesce(r.total, 0) as proven
      from public.balances b
      full join (
        select subject_id, sum(amount) as total from public.reservations where status = 'held' group by subject_id
      ) r using (subject_id)
  ),
  events as (
    select subject_id, date_bin('15 minutes', occurred_at, 'epoch') as bucket, provider, model, source,
           count(*) as events, sum(prompt_count) as prompts, sum(input_tokens) as input_tokens,
           sum(output_tokens) as output_tokens, sum(total_tokens) as total_tokens, sum(cost) as cost
      from public.usage_events
     group by 1, 2, 3, 4, 5
  ),
  rollups as (
    select subject_id,
           array[r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost]::numeric[] as stated,
           array[e.events, e.prompts, e.input_tokens, e.output_tokens, e.total_tokens, e.cost]::numeric[] as proven
      from public.usage_rollups r
      full join events e using (subject_id, bucket, provider, model, source)
     -- Rollups outlive the events retention drops.
     where bucket >= (select min(lower_bound) from private.usage_partitions())
  ),
  totals as (
    select bucket::text as subject, t.stated, r.proven
      from (
        select bucket,
               array[sum(events), sum(prompts), sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cost)] as stated
          from public.usage_totals group by bucket
      ) t
      full join (
        select bucket,
               array[sum(events), sum(prompts), sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cost)] as proven
          from public.usage_rollups group by bucket
      ) r using (bucket)
  ),
  pools as (
    select p.subject_kind, p.allocated as stated, coalesce(b.total, 0) as proven
      from public.budgets p
      left join (select subject_kind, sum(allocated) as total from public.balances group by subject_kind) b using (subject_kind)
  ),
  transfers as (
    select e.reference, 0::numeric as stated, sum(e.amount) as proven
      from public.ledger_entries e where e.kind = 'transfer' group by e.reference
  ),
  tracked as (
    select u.id as subject_id,
           array[coalesce(c.prompts, 0), coalesce(c.tokens, 0)]::numeric[] as stated,
           array[coalesce(r.prompts, 0), coalesce(r.tokens, 0)]::numeric[] as proven
      from public.users u
      left join public.tracker_counters c on c.user_id = u.id
      left join (
        select subject_id, sum(prompts) as prompts, sum(total_tokens) as tokens
          from public.usage_rollups where source = 'tracker' group by subject_id
      ) r on r.subject_id = u.id
     where c.user_id is not null or r.subject_id is not null
  ),
  owed as (
    select b.subject_id, b.debt as stated, 0::bigint as proven
      from public.balances b where b.debt > 0 and b.allocated > b.used + b.reserved
  ),
  -- A closed generation has one event of what it was settled at; corrections are ledger entries.
  generated as (
    select g.id as subject_id,
           case r.status
             when 'held' then 0
             else private.weighted_tokens(g, g.input_tokens, g.output_tokens) - g.uncollected + coalesce(c.amount, 0)
           end::numeric as stated,
           coalesce(e.cost, 0) as proven
      from public.generations g
      join public.reservations r on r.id = g.id
      left join (
        select id, sum(cost) as cost from public.usage_events where source in ('chat', 'api') group by id
      ) e on e.id = g.id
      left join (
        select reference, sum(amount) as amount from public.ledger_entries where kind = 'correction' group by reference
      ) c on c.reference = 'generation:' || g.id
     where r.closed_at is null or r.closed_at >= (select min(lower_bound) from private.usage_partitions())
  ),
  findings as (
    select 'allocated = sum of ledger entries' as title, subject_id::text as subject, to_jsonb(stated) as stated, to_jsonb(proven) as proven from allocations
    union all
    select 'used + debt = sum of event costs in the period', subject_id::text, to_jsonb(stated), to_jsonb(proven) from spent
    union all
    select 'reserved = sum of held reservations', subject_id::text, to_jsonb(stated), to_jsonb(proven) from held
    union all
    select 'rollups = sums of events', subject_id::text, to_jsonb(stated), to_jsonb(proven) from rollups
    union all
    select 'totals = sums of rollups', subject, to_jsonb(stated), to_jsonb(proven) from totals
    union all
    select 'legs of each transfer cancel out', reference, to_jsonb(stated), to_jsonb(proven) from transfers
    union all
    select 'pools = sums of allocations', subject_kind, to_jsonb(stated), to_jsonb(proven) from pools
    union all
    select 'tracker counters = sums of tracker rollups', subject_id::text, to_jsonb(stated), to_jsonb(proven) from tracked
    union all
    select 'debt only where nothing is left', subject_id::text, to_jsonb(stated), to_jsonb(proven) from owed
    union all
    select 'generations = their events and corrections', subject_id::text, to_jsonb(stated), to_jsonb(proven) from generated
  ),
  titles(position, title) as (
    values
      (1, 'allocated = sum of ledger entries'),
      (2, 'used + debt = sum of event costs in the period'),
      (3, 'reserved = sum of held reservations'),
      (4, 'rollups = sums of events'),
      (5, 'totals = sums of rollups'),
      (6, 'legs of each transfer cancel out'),
      (7, 'pools = sums of allocations'),
      (8, 'tracker counters = sums of tracker rollups'),
      (9, 'debt only where nothing is left'),
      (10, 'generations = their events and corrections')
  )
  select t.title,
         count(*) filter (where f.stated is distinct from f.proven and f.title is not null) = 0,
         count(f.title),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', f.subject, 'stated', f.stated, 'proven', f.proven))
             filter (where f.stated is distinct from f.proven and f.title is not null),
           '[]'
         )
    from titles t left join findings f on f.title = t.title
   group by t.position, t.title
   order by t.position;
end
$$;
grant execute on function public.verify_ledger() to service_role;
comment on function public.verify_ledger() is
  'Recomputes every balance, hold, rollup, counter and generation from the rows behind it. One row per check; ok is false where discrepancies lists differences.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127203513', '3d7f921578d8c149d85b38e7af0d73395d9e71bbef00830af80e63833783484a');
