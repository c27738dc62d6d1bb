-- Running streams note how far they have come, so that one whose server dies costs about what had come of it.

alter table public.generations
  add column if not exists streamed boolean not null default false,
  add column if not exists input_seen bigint check (input_seen >= 0),
  add column if not exists output_seen bigint check (output_seen >= 0),
  add column if not exists input_floor bigint not null default 0 check (input_floor >= 0),
  add column if not exists output_floor bigint not null default 0 check (output_floor >= 0);
-- Room for the notes of a running stream in the page its row is in.
alter table public.generations set (fillfactor = 70);
comment on column public.generations.streamed is 'Whether the answer is passed on as it comes, and its progress noted.';
comment on column public.generations.input_seen is 'Tokens of the prompt at the last note; null before the first.';
comment on column public.generations.output_seen is 'Tokens of the answer at the last note; null before the first.';
comment on column public.generations.input_floor is 'Fewest tokens the prompt can be; a smaller count of upstream''s is not believed.';
comment on column public.generations.output_floor is 'Fewest tokens the text that passed can be; a smaller count of upstream''s is not believed.';

set check_function_bodies = off;

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
  v_difference bigint := p_generation.input_tokens + p_generation.output_tokens - p_input - p_output;
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
  v_cost bigint := p_input + p_output;
  v_held bigint;
  v_period integer;
begin
  update public.reservations r
     set status = p_status, closed_at = now(), usage_event_id = case when v_cost > 0 then r.id end
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
    coalesce(p_generation.provider, 'unknown'), p_generation.model, 1, p_input, p_output, v_cost, v_cost,
    p_provenance, v_period, null, now(), now()
  )::public.usage_events;
end
$$;
comment on function private.close_generation(public.generations, text, text, bigint, bigint) is
  'Settles a running generation and returns the usage event to record; the balance must be locked by the caller.';

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
    v_output := v_lost.amount - v_generation.input_estimate;
    if v_generation.streamed and v_lost.expires_at <= now() then
      v_output := least(v_output, v_seen + v_allowance);
    end if;
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

create or replace function public.correct_generation(p_id uuid, p_input_tokens bigint, p_output_tokens bigint)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances, pools and the ledger, which no API role may.
declare
  v_generation public.generations;
  v_input bigint := p_input_tokens;
  v_output bigint := p_output_tokens;
  v_provenance text := 'provider_final';
  v_amount bigint;
begin
  -- The pool before the balance, as everywhere.
  perform from public.budgets where subject_kind = 'user' for update;
  perform from public.balances b join public.generations g on g.subject_id = b.subject_id
    where g.id = p_id for update of b;
  select g.* into v_generation from public.generations g where g.id = p_id;
  if v_generation.provenance is distinct from 'estimated' then
    return '{"corrected": false, "amount": 0}';
  end if;
  -- A count that what was seen contradicts changes nothing: the estimate stands, and upstream is asked again.
  if v_input < v_generation.input_floor then
    v_input := greatest(v_input, v_generation.input_tokens);
    v_provenance := 'estimated';
  end if;
  if v_output < v_generation.output_floor then
    v_output := greatest(v_output, v_generation.output_tokens);
    v_provenance := 'estimated';
  end if;
  if v_provenance = 'provider_final' then
    v_generation.reconcile_at := null;
  end if;
  v_amount := private.change_settlement(v_generation, v_provenance, v_input, v_output, 'system:reconciliation');
  return jsonb_build_object('corrected', v_provenance = 'provider_final' or v_amount <> 0, 'amount', v_amount);
end
$$;
grant execute on function public.correct_generation(uuid, bigint, bigint) to service_role;
comment on function public.correct_generation(uuid, bigint, bigint) is
  'Corrects an estimated generation to what upstream counted, by a ledger entry; a number that is less than what was seen can be leaves the estimate. Returns {corrected, amount}: tokens given back, or taken where negative.';

create or replace function public.meter_chat(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of generations; no API role may write balances, holds or events itself.
declare
  v_item record;
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
      v_output := least(
        v_item.output_tokens, v_balance.allocated - v_balance.used - v_balance.reserved - v_item.input_estimate
      );
      v_answer := case
        when v_item.google_subject is not null and v_item.user_id is null then '{"code": "USER_NOT_FOUND"}'
        when v_balance.subject_id is null
          or not private.is_credential_valid(v_item.user_id, v_item.session_id, v_item.api_key_id) then '{"code": "INVALID_TOKEN"}'
        when v_output < 1 then jsonb_build_object(
          'code', 'INSUFFICIENT_TOKENS', 'requested', v_item.input_estimate + 1,
          'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
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
           set reserved = b.reserved + v_item.input_estimate + v_output, updated_at = now()
         where b.subject_id = v_item.user_id
           and b.allocated - b.used - b.reserved >= v_item.input_estimate + v_output
        returning b.* into strict v_balance;
        insert into public.reservations (id, subject_id, amount, model, prompt_count, expires_at)
        values (
          v_item.hold, v_item.user_id, v_item.input_estimate + v_output, v_item.model, 1, now() + interval '5 minutes'
        );
        insert into public.generations (id, subject_id, source, model, input_estimate, streamed)
        values (
          v_item.hold, v_item.user_id, v_item.source, v_item.model, v_item.input_estimate, coalesce(v_item.streamed, false)
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
        v_output := least(v_item.output_tokens, v_balance.allocated - v_balance.used - v_balance.reserved);
        update public.balances b
           set reserved = b.reserved + v_output, updated_at = now()
         where b.subject_id = v_generation.subject_id and v_output > 0;
        -- Not at every note, as its expiry is in two indexes.
        update public.reservations r
           set amount = r.amount + v_output, expires_at = now() + interval '5 minutes'
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
                 'tokens_used', g.input_tokens + g.output_tokens, 'remaining', b.allocated - b.used - b.reserved
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

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127202800', 'c5419799826c8c13667f3a1abdfbaef20238ce6c05faaebcdc333e9e58400d9e');
