-- For the benchmark only, in a database of its own: what a reader of the device contract would make first. The server has
-- nothing to do with it. Its function is the floor: one use, four writes, no keys, holds, blocks, prices or batches.
create table public.balances (
  device_id uuid primary key,
  allocated bigint not null,
  used bigint not null default 0,
  check (used <= allocated)
) with (fillfactor = 50);

create table public.usage_events (
  id uuid primary key default gen_random_uuid(),
  device_id uuid not null references public.balances,
  model text not null,
  prompt_count integer not null,
  cost bigint not null,
  created_at timestamptz not null default now()
);
create index on public.usage_events (device_id, created_at);

create table public.usage_rollups (
  device_id uuid not null,
  quarter timestamptz not null,
  model text not null,
  prompts bigint not null,
  cost bigint not null,
  primary key (device_id, quarter, model)
) with (fillfactor = 50);

create table public.usage_totals (
  shard integer not null,
  quarter timestamptz not null,
  model text not null,
  prompts bigint not null,
  cost bigint not null,
  primary key (shard, quarter, model)
) with (fillfactor = 50);

create function public.debit(p_device_id uuid, p_model text, p_prompt_count integer)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_quarter timestamptz := date_bin('15 minutes', now(), '2000-01-01');
  v_remaining bigint;
  v_id uuid;
begin
  update public.balances b set used = b.used + p_prompt_count
   where b.device_id = p_device_id and b.allocated - b.used >= p_prompt_count
  returning b.allocated - b.used into v_remaining;
  if not found then
    return '{"code": "INSUFFICIENT_TOKENS"}';
  end if;
  insert into public.usage_events (device_id, model, prompt_count, cost)
  values (p_device_id, p_model, p_prompt_count, p_prompt_count)
  returning id into v_id;
  insert into public.usage_rollups as r values (p_device_id, v_quarter, p_model, p_prompt_count, p_prompt_count)
  on conflict (device_id, quarter, model)
  do update set prompts = r.prompts + excluded.prompts, cost = r.cost + excluded.cost;
  insert into public.usage_totals as t
  values (abs(hashtext(p_device_id::text)) % 8, v_quarter, p_model, p_prompt_count, p_prompt_count)
  on conflict (shard, quarter, model)
  do update set prompts = t.prompts + excluded.prompts, cost = t.cost + excluded.cost;
  return jsonb_build_object('event_id', v_id, 'tokens_used', p_prompt_count, 'remaining', v_remaining);
end
$$;

-- The same of the contracts of accounts.
create table public.accounts (
  id uuid primary key,
  email text not null unique,
  password_hash text not null
);
create table public.sessions (
  id uuid primary key default gen_random_uuid(),
  account_id uuid not null references public.accounts,
  refresh_token text not null unique,
  created_at timestamptz not null default now()
);
create index on public.sessions (account_id);
create table public.settings (account_id uuid primary key references public.accounts, data jsonb not null);
create table public.account_events (
  id uuid primary key default gen_random_uuid(),
  account_id uuid not null references public.accounts,
  model text not null,
  tokens bigint not null,
  occurred_at timestamptz not null
);
create index on public.account_events (account_id, occurred_at);

-- As many uses of each account as the server under test is given.
create function public.record_month()
returns void
language sql volatile security invoker set search_path = ''
as $$
  insert into public.account_events (account_id, model, tokens, occurred_at)
  select a.id, 'model-' || n % 5, 600, now() - (n % 30) / 1.1 * interval '1 day'
    from public.accounts a cross join pg_catalog.generate_series(0, 299) n
$$;

grant usage on schema public to service_role;
grant select, insert, update on all tables in schema public to service_role;
