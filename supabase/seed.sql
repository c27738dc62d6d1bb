-- Demo data for development: refused where there are people or devices already, unless tokenledger.seed_anyway is on.
-- Run by "npm run seed" and by "supabase db reset". All or nothing, and a second run changes nothing.
--
-- 8 people, 20 devices and what they used in the last 30 days: mostly on weekdays, in working hours (UTC). People also
-- chat, which debits tokens of their own and costs money at the providers.
-- The devices' fingerprints are random, so that nobody can register as one of them. That of the device linked to nobody is
-- said when it is made: whoever registers with it becomes it.
--
-- "Hugo, laptop" got the last tokens of "Hugo, old laptop", which has none left. "Lost laptop" is blocked.

do $seed$
declare
  v_today constant timestamptz := date_trunc('day', now(), 'UTC');
  v_period constant integer := (select max(number) from public.periods);
  v_fingerprint constant text := 'demo-' || gen_random_uuid();
  v_devices uuid[];
  v_events public.usage_events[];
begin
  -- As in every function: what follows writes the books itself, and is not a change by hand.
  perform set_config('search_path', '', true);
  perform pg_advisory_xact_lock(hashtext('tokenledger seed'));
  if exists (select from public.users where email like '%.demo@example.com') then
    raise info 'Already seeded, nothing changed.';
    return;
  end if;
  if coalesce(current_setting('tokenledger.seed_anyway', true), '') <> 'on'
     and (exists (select from public.users) or exists (select from public.devices)) then
    raise exception 'This database has people or devices already: demo data does not belong among them'
      using errcode = 'PT409', hint = 'npm run seed -- --anyway adds it all the same';
  end if;
  -- The same shape every time: who used how much when, counted back from today.
  perform setseed(0.42);

  -- Hugo never opened the link that proves his address.
  insert into public.users (email, name, created_at, updated_at, email_verified_at)
  select person.email, person.name, joined.at, joined.at, case when person.days_ago > 35 then joined.at end
    from (
      values
        ('amina.demo@example.com', 'Amina Diallo', 48), ('ben.demo@example.com', 'Ben Carter', 47),
        ('chiara.demo@example.com', 'Chiara Rossi', 45), ('deniz.demo@example.com', 'Deniz Kaya', 41),
        ('elena.demo@example.com', 'Elena Petrova', 40), ('farid.demo@example.com', 'Farid Rahimi', 38),
        ('grace.demo@example.com', 'Grace Liu', 36), ('hugo.demo@example.com', 'Hugo Martin', 35)
    ) as person(email, name, days_ago)
    cross join lateral (select v_today - person.days_ago * interval '24 hours' + interval '9 hours') as joined(at);

  with inserted as (
    insert into public.devices
      (name, fingerprint_hash, user_id, blocked, registrations, created_at, last_registered_at)
    select device.name,
           sha256(convert_to(case when device.owner is null then v_fingerprint else gen_random_uuid()::text end, 'UTF8')),
           u.id, device.name = 'Lost laptop',
           10 + floor(random() * 40)::integer,
           v_today - interval '24 hours' * (31 + floor(random() * 4)) + interval '10 hours',
           v_today - interval '24 hours' * (case when device.name = 'Lost laptop' then 8 else 1 end)
      from (
        values
          (1, 'Amina, laptop', 'amina'), (2, 'Amina, workstation', 'amina'),
          (3, 'Amina, browser', 'amina'), (4, 'Ben, laptop', 'ben'),
          (5, 'Ben, browser', 'ben'), (6, 'Chiara, laptop', 'chiara'),
          (7, 'Chiara, workstation', 'chiara'), (8, 'Chiara, browser', 'chiara'),
          (9, 'Deniz, laptop', 'deniz'), (10, 'Deniz, workstation', 'deniz'),
          (11, 'Elena, laptop', 'elena'), (12, 'Elena, browser', 'elena'),
          (13, 'Farid, laptop', 'farid'), (14, 'Farid, workstation', 'farid'),
          (15, 'Grace, laptop', 'grace'), (16, 'Grace, browser', 'grace'),
          (17, 'Hugo, laptop', 'hugo'), (18, 'Hugo, old laptop', 'hugo'),
          (19, 'Meeting room', null), (20, 'Lost laptop', 'elena')
      ) as device(place, name, owner)
      left join public.users u on u.email = device.owner || '.demo@example.com'
     order by device.place
    returning id
  )
  select array_agg(id) into v_devices from inserted;

  -- Devices debit prompts; the people's browser extensions report tokens used elsewhere, which debit nothing.
  with subjects as materialized (
    select id as subject_id, user_id, id as device_id, 'device' as source, 2 + 7 * random() as per_day,
           case when blocked then 8 else 0 end as last_day
      from (select * from public.devices where id = any (v_devices) order by name) d
    union all
    select id, id, null, 'extension', 2 + 4 * random(), 0
      from (select * from public.users where email like '%.demo@example.com' order by email) u
    union all
    select id, id, null, 'chat', 1 + 3 * random(), 0
      from (select * from public.users where email like '%.demo@example.com' order by email) u
  ),
  days as (
    select ago, v_today - ago * interval '24 hours' as start,
           case when extract(isodow from (v_today at time zone 'UTC') - ago * interval '1 day') < 6 then 1 else 0.12 end as share
      from generate_series(0, 29) as ago
  ),
  -- Two humps, before and after lunch.
  moments as materialized (
    select s.*, random() as dice, random() as prompt_size, random() as answer_size,
           d.start + interval '1 hour' * (
             case when random() < 0.45 then 10.2 else 14.9 end + 2.2 * (random() + random() + random() - 1.5)
           ) as at
      from subjects s
      join days d on d.ago >= s.last_day
      cross join lateral generate_series(1, round(s.per_day * d.share * (0.4 + 1.2 * random()))::integer)
  ),
  -- With what a token of the prompt and of the answer costs, in nano-dollars.
  models(model, provider, page, low, high, prompt_price, answer_price) as (
    values
      ('claude-sonnet-4.5', 'anthropic', 'https://claude.ai/chat', 0.0, 0.36, 3000, 15000),
      ('claude-opus-4.5', 'anthropic', 'https://claude.ai/chat', 0.36, 0.54, 5000, 25000),
      ('gpt-5', 'openai', 'https://chatgpt.com/', 0.54, 0.76, 1250, 10000),
      ('gpt-5-mini', 'openai', 'https://chatgpt.com/', 0.76, 0.88, 250, 2000),
      ('gemini-2.5-pro', 'google', 'https://gemini.google.com/app', 0.88, 1.0, 1250, 10000)
  ),
  uses as (
    select m.*, model.model, model.provider, model.page, model.prompt_price, model.answer_price,
           m.source = 'extension' as observed, m.source = 'chat' as chatted,
           (150 + 7000 * m.prompt_size ^ 3)::bigint as input, (40 + 1500 * m.answer_size ^ 2)::bigint as output,
           coalesce(price.cost, standard.cost, 1) as cost
      from moments m
      join models model on m.dice >= model.low and m.dice < model.high
      left join public.model_costs price on price.model = model.model
      left join public.model_costs standard on standard.model = '*'
     where m.at <= now()
  )
  select array_agg(
           row(
             gen_random_uuid(), subject_id, user_id, device_id, source,
             case when observed or chatted then provider else 'unknown' end, model, 1,
             case when observed or chatted then input else 0 end, case when observed or chatted then output else 0 end,
             case when observed or chatted then input + output else 0 end,
             case when observed then 0 when chatted then input + output else cost end,
             case when chatted then 'provider_final' else 'client_reported' end,
             case when source = 'device' then v_period else 1 end, case when observed then page end, at, at,
             case when chatted then input * prompt_price + output * answer_price end
           )::public.usage_events
           order by at
         )
    into v_events
    from uses;
  perform private.record_usage_events(v_events);

  -- Granted in steps of 50, as far as the use needed, with something left over.
  insert into public.balances (subject_id, subject_kind, allocated, used, period)
  select d.id, 'device', 50 * ceil((coalesce(spent.tokens, 0) + 20) / 50.0), coalesce(spent.tokens, 0), v_period
    from unnest(v_devices) as d(id)
    left join (
      select e.subject_id, sum(e.cost) as tokens from unnest(v_events) e group by e.subject_id
    ) spent on spent.subject_id = d.id;

  insert into public.ledger_entries (subject_id, kind, amount, period, actor, created_at)
  select b.subject_id, 'grant', grants.amount, b.period, grants.actor, d.created_at + grants.later
    from public.balances b
    join public.devices d on d.id = b.subject_id
    cross join lateral (
      values
        (50::bigint, 'system:registration', interval '0'),
        (b.allocated - 50, 'admin:admin', interval '2 hours')
    ) as grants(amount, actor, later)
   where b.subject_id = any (v_devices) and grants.amount > 0;

  with pair as (
    select giver.subject_id as giver, taker.id as taker, giver.allocated - giver.used as amount
      from public.devices d
      join public.balances giver on giver.subject_id = d.id
      join public.devices taker on taker.name = 'Hugo, laptop'
     where d.name = 'Hugo, old laptop'
       and d.id = any (v_devices) and taker.id = any (v_devices)
  ),
  legs as (
    insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference, created_at)
    select leg.subject_id, 'transfer', leg.amount, v_period, 'admin:admin', 'demo-transfer', now()
      from pair cross join lateral (values (giver, -amount), (taker, amount)) as leg(subject_id, amount)
    returning subject_id, amount
  )
  update public.balances b set allocated = b.allocated + legs.amount from legs where b.subject_id = legs.subject_id;

  -- The pools know what was handed out.
  update public.budgets
     set allocated = (select coalesce(sum(b.allocated), 0) from public.balances b where b.subject_kind = 'device')
   where subject_kind = 'device';
  perform private.open_balance(u.id, 'user', 0, 'system:registration'),
          private.grant_default_tokens(u.id, 1000000, 'system:registration', null, true)
     from public.users u where u.email like '%.demo@example.com';
  update public.balances b
     set used = spent.tokens
    from (
      select e.subject_id, sum(e.cost) as tokens from unnest(v_events) e where e.source = 'chat' group by e.subject_id
    ) spent
   where spent.subject_id = b.subject_id;

  raise info 'Seeded 8 people, % devices and % uses of the last 30 days.',
    cardinality(v_devices), cardinality(v_events);
  raise info 'Register with hardware_fingerprint % to act as a demo device.', v_fingerprint;
end
$seed$;
