-- Admin, budget: pools, allocations and transfers. Lock order everywhere: pool, then balances in id order.

create or replace function private.balance_json(p_subject_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    b.subject_kind || '_id', b.subject_id, 'allocated', b.allocated, 'used', b.used, 'reserved', b.reserved,
    'remaining', b.allocated - b.used - b.reserved
  ) from public.balances b where b.subject_id = p_subject_id
$$;
revoke all on function private.balance_json(uuid) from public, anon, authenticated, service_role;
comment on function private.balance_json(uuid) is 'A balance as the admin API shows it.';

create or replace function private.budget_json(p_kind text)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'subject_kind', p.subject_kind, 'total', p.total, 'allocated', p.allocated,
    'used', coalesce(b.used, 0), 'reserved', coalesce(b.reserved, 0),
    'remaining', p.allocated - coalesce(b.used, 0) - coalesce(b.reserved, 0),
    'unallocated', case when p.total is not null then greatest(p.total - p.allocated, 0) end
  )
    from public.budgets p
    left join (
      select subject_kind, sum(used)::bigint as used, sum(reserved)::bigint as reserved
        from public.balances where subject_kind = p_kind group by subject_kind
    ) b using (subject_kind)
   where p.subject_kind = p_kind
$$;
revoke all on function private.budget_json(text) from public, anon, authenticated, service_role;
comment on function private.budget_json(text) is 'A pool with what is allocated from it, spent, held and left.';

create or replace function public.get_budget(p_actor jsonb, p_kind text)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every balance, which no API role may.
begin
  perform private.require_admin(p_actor);
  return private.budget_json(p_kind);
end
$$;
revoke all on function public.get_budget(jsonb, text) from public, anon, authenticated, service_role;
grant execute on function public.get_budget(jsonb, text) to service_role;
comment on function public.get_budget(jsonb, text) is 'The pool of devices or users with its totals.';

create or replace function public.set_budget(p_actor jsonb, p_kind text, p_total bigint default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes the pools, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_before bigint;
begin
  select total into strict v_before from public.budgets where subject_kind = p_kind for update;
  update public.budgets set total = p_total, updated_at = now() where subject_kind = p_kind;
  perform private.audit(
    v_actor, p_actor ->> 'request_id', 'set_budget', p_kind,
    jsonb_build_object('total', v_before), jsonb_build_object('total', p_total)
  );
  return private.budget_json(p_kind);
end
$$;
revoke all on function public.set_budget(jsonb, text, bigint) from public, anon, authenticated, service_role;
grant execute on function public.set_budget(jsonb, text, bigint) to service_role;
comment on function public.set_budget(jsonb, text, bigint) is
  'Sets the size of a pool, null for unlimited. One smaller than what is allocated only stops further allocations.';

-- A key already used repeats its answer. The caller holds a lock that serialises calls with this key.
create or replace function private.earlier_answer(p_subject_id uuid, p_key text, p_request jsonb)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_earlier private.idempotency_keys;
begin
  select * into v_earlier from private.idempotency_keys where subject_id = p_subject_id and key = p_key;
  if v_earlier.request_hash is distinct from sha256(convert_to(p_request::text, 'UTF8')) and v_earlier.key is not null then
    raise sqlstate 'PT422' using message = 'IDEMPOTENCY_MISMATCH';
  end if;
  return v_earlier.answer;
end
$$;
revoke all on function private.earlier_answer(uuid, text, jsonb) from public, anon, authenticated, service_role;
comment on function private.earlier_answer(uuid, text, jsonb) is
  'The answer given to this idempotency key before, or null; raises IDEMPOTENCY_MISMATCH for another request.';

create or replace function private.require_subject(p_kind text, p_subject_id uuid)
returns void
language plpgsql stable set search_path = ''
as $$
begin
  if p_kind = 'device' and not exists (
    select from public.devices d where d.id = p_subject_id and d.deleted_at is null
  ) then
    raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
  elsif p_kind = 'user' and not exists (select from public.users u where u.id = p_subject_id) then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
end
$$;
revoke all on function private.require_subject(text, uuid) from public, anon, authenticated, service_role;
comment on function private.require_subject(text, uuid) is 'Raises DEVICE_NOT_FOUND or USER_NOT_FOUND where there is no such one.';

-- Changes one allocation and its ledger; refuses to go below what is used and held. The caller holds the locks.
create or replace function private.change_allocation(
  p_subject_id uuid, p_tokens bigint, p_kind text, p_actor text, p_reference text
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
begin
  select * into strict v_balance from public.balances where subject_id = p_subject_id;
  if v_balance.allocated + p_tokens < v_balance.used + v_balance.reserved then
    raise sqlstate 'PT403' using message = 'INSUFFICIENT_TOKENS', detail = jsonb_build_object(
      'requested', -p_tokens, 'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
    )::text;
  end if;
  if v_balance.allocated + p_tokens > 9007199254740991 then
    raise sqlstate 'PT400' using message = 'ALLOCATION_TOO_LARGE';
  end if;
  update public.balances set allocated = allocated + p_tokens, updated_at = now() where subject_id = p_subject_id;
  insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference)
  values (p_subject_id, p_kind, p_tokens, v_balance.period, p_actor, p_reference);
end
$$;
revoke all on function private.change_allocation(uuid, bigint, text, text, text) from public, anon, authenticated, service_role;
comment on function private.change_allocation(uuid, bigint, text, text, text) is
  'Adds to (or takes from) an allocation and writes the ledger entry; raises INSUFFICIENT_TOKENS.';

create or replace function public.allocate(
  p_actor jsonb, p_kind text, p_subject_id uuid, p_tokens bigint, p_from_id uuid default null, p_key text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances, pools and the ledger, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_request jsonb := jsonb_build_array('allocate', p_kind, p_subject_id, p_tokens, p_from_id);
  v_subjects uuid[] := array_remove(array[p_subject_id, p_from_id], null);
  v_pool public.budgets;
  v_reference text := gen_random_uuid()::text;
  v_before jsonb;
  v_answer jsonb;
begin
  if p_from_id = p_subject_id then
    raise sqlstate 'PT400' using message = 'SELF_TRANSFER';
  end if;
  select * into strict v_pool from public.budgets where subject_kind = p_kind for update;
  v_answer := private.earlier_answer((p_actor ->> 'id')::uuid, p_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
  perform private.require_subject(p_kind, s) from unnest(v_subjects) as s;
  perform private.expire_reservations(v_subjects);
  v_before := jsonb_build_object('to', private.balance_json(p_subject_id), 'from', private.balance_json(p_from_id));

  if p_from_id is null then
    if v_pool.allocated + p_tokens > v_pool.total and p_tokens > 0 then
      raise sqlstate 'PT403' using message = 'BUDGET_EXCEEDED', detail = jsonb_build_object(
        'requested', p_tokens, 'remaining', greatest(v_pool.total - v_pool.allocated, 0)
      )::text;
    end if;
    perform private.change_allocation(
      p_subject_id, p_tokens, case when p_tokens > 0 then 'grant' else 'adjustment' end, v_actor, null
    );
    update public.budgets set allocated = allocated + p_tokens, updated_at = now() where subject_kind = p_kind;
  else
    perform private.change_allocation(p_from_id, -p_tokens, 'transfer', v_actor, v_reference);
    perform private.change_allocation(p_subject_id, p_tokens, 'transfer', v_actor, v_reference);
  end if;

  v_answer := private.balance_json(p_subject_id) || jsonb_build_object('from', private.balance_json(p_from_id));
  perform private.audit(
    v_actor, p_actor ->> 'request_id', case when p_from_id is null then 'allocate' else 'transfer' end,
    p_kind || ':' || p_subject_id, v_before,
    jsonb_build_object('to', private.balance_json(p_subject_id), 'from', private.balance_json(p_from_id))
  );
  if p_key is not null then
    insert into private.idempotency_keys (subject_id, key, request_hash, answer)
    values ((p_actor ->> 'id')::uuid, p_key, sha256(convert_to(v_request::text, 'UTF8')), v_answer);
  end if;
  return v_answer;
end
$$;
revoke all on function public.allocate(jsonb, text, uuid, bigint, uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.allocate(jsonb, text, uuid, bigint, uuid, text) to service_role;
comment on function public.allocate(jsonb, text, uuid, bigint, uuid, text) is
  'Gives tokens from the pool, takes unused ones back (negative), or moves them between two subjects. Answers the balance, with from for a transfer; raises BUDGET_EXCEEDED, INSUFFICIENT_TOKENS, SELF_TRANSFER, …_NOT_FOUND, IDEMPOTENCY_MISMATCH.';

create or replace function public.list_model_costs(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: model_costs is open to no API role.
begin
  perform private.require_admin(p_actor);
  return (select jsonb_agg(jsonb_build_object('model', c.model, 'cost', c.cost, 'updated_at', c.updated_at) order by c.model)
            from public.model_costs c);
end
$$;
revoke all on function public.list_model_costs(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.list_model_costs(jsonb) to service_role;
comment on function public.list_model_costs(jsonb) is 'All prices; the model * is the price of every other one.';

create or replace function public.set_model_costs(p_actor jsonb, p_costs jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: model_costs is open to no API role.
declare
  v_actor text := private.require_admin(p_actor);
  v_before jsonb := public.list_model_costs(p_actor);
begin
  -- The price of all other models can be changed, never removed.
  delete from public.model_costs c
   using jsonb_to_recordset(p_costs) as given(model text, cost integer)
   where c.model = lower(btrim(given.model)) and given.cost is null and c.model <> '*';
  insert into public.model_costs (model, cost)
  select distinct on (1) lower(btrim(given.model)), given.cost
    from rows from (jsonb_to_recordset(p_costs) as (model text, cost integer)) with ordinality as given(model, cost, ord)
   where given.cost is not null
   order by 1, given.ord desc
  on conflict (model) do update set cost = excluded.cost, updated_at = now()
   where public.model_costs.cost <> excluded.cost;
  perform private.audit(
    v_actor, p_actor ->> 'request_id', 'set_model_costs', null, v_before, public.list_model_costs(p_actor)
  );
  return public.list_model_costs(p_actor);
end
$$;
revoke all on function public.set_model_costs(jsonb, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.set_model_costs(jsonb, jsonb) to service_role;
comment on function public.set_model_costs(jsonb, jsonb) is
  'Sets the prices given as [{model, cost}], removes those whose cost is null, leaves the others. Answers all prices.';
