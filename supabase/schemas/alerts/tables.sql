-- Who is warned before tokens run out.

create table if not exists private.alert_settings (
  id boolean primary key default true check (id),
  device_thresholds smallint[] not null default '{80,100}' check (cardinality(device_thresholds) <= 10),
  user_thresholds smallint[] not null default '{80,100}' check (cardinality(user_thresholds) <= 10),
  pool_thresholds smallint[] not null default '{80,100}' check (cardinality(pool_thresholds) <= 10),
  mail_people boolean not null default false,
  mail_to text[] not null default '{}' check (cardinality(mail_to) <= 10),
  updated_at timestamptz not null default now(),
  renewing_after uuid
);
comment on table private.alert_settings is 'One row: at which shares of a balance or pool somebody is warned, and who gets mail.';
comment on column private.alert_settings.id is 'Always true.';
comment on column private.alert_settings.device_thresholds is 'Percent of a device''s tokens in a budget period, ascending.';
comment on column private.alert_settings.user_thresholds is 'Percent of what a person had left when tokens last came in, ascending.';
comment on column private.alert_settings.pool_thresholds is 'Percent of a pool that is handed out, ascending.';
comment on column private.alert_settings.mail_people is 'Whether people are mailed about their own balance and their devices''.';
comment on column private.alert_settings.mail_to is 'Addresses of admins who are mailed about all of them.';
comment on column private.alert_settings.updated_at is 'When it last changed.';
comment on column private.alert_settings.renewing_after is 'After a change of thresholds: the balances beyond this id have yet to be told; null when all are.';

create table if not exists private.alert_mails (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references public.users (id) on delete cascade,
  recipient text check (length(recipient) between 3 and 320),
  type text not null,
  data jsonb not null,
  occurred_at timestamptz not null default now(),
  constraint alert_mails_one_recipient check (num_nonnulls(user_id, recipient) = 1)
);
create index if not exists alert_mails_user_idx on private.alert_mails (user_id);
comment on table private.alert_mails is 'Mails about alerts that a server has yet to write: only servers have the key mails are sealed with.';
comment on column private.alert_mails.id is 'The row''s id.';
comment on column private.alert_mails.user_id is 'The person it is for.';
comment on column private.alert_mails.recipient is 'The admin''s address it is for.';
comment on column private.alert_mails.type is 'What happened, as webhooks call it.';
comment on column private.alert_mails.data is 'The particulars, as webhooks get them.';
comment on column private.alert_mails.occurred_at is 'When it happened.';

create table if not exists private.alerts (
  id bigint generated always as identity primary key,
  type text not null,
  data jsonb not null,
  user_id uuid,
  occurred_at timestamptz not null default now()
);
create index if not exists alerts_user_idx on private.alerts (user_id) where user_id is not null;
create index if not exists alerts_time_idx on private.alerts (occurred_at);
comment on table private.alerts is 'What admins were, or could have been, warned of in the last 90 days.';
comment on column private.alerts.id is 'Counts up.';
comment on column private.alerts.type is 'What happened, as webhooks call it.';
comment on column private.alerts.data is 'The particulars, as webhooks get them.';
comment on column private.alerts.user_id is 'Whose balance or device it is about, so that it goes with the account. No reference: a debit must not lock the account.';
comment on column private.alerts.occurred_at is 'When it happened.';
