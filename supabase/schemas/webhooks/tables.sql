-- Who is told of what happens here, and what was told them: deliveries are written in the transaction of their cause.

create table if not exists private.webhook_endpoints (
  id uuid primary key default gen_random_uuid(),
  url text not null check (length(url) between 1 and 2000),
  events text[] not null check (cardinality(events) between 1 and 50),
  description text check (length(description) <= 200),
  sealed_secret bytea not null check (length(sealed_secret) between 1 and 1024),
  created_by text not null,
  created_at timestamptz not null default now(),
  disabled_at timestamptz
);
comment on table private.webhook_endpoints is 'Addresses that events are sent to.';
comment on column private.webhook_endpoints.id is 'The endpoint''s id.';
comment on column private.webhook_endpoints.url is 'Where events are sent by POST.';
comment on column private.webhook_endpoints.events is 'The types of events it gets.';
comment on column private.webhook_endpoints.description is 'What it is for, in the words of whoever made it.';
comment on column private.webhook_endpoints.sealed_secret is 'The secret events are signed with, encrypted (AES-256-GCM) with a key derived from JWT_SECRET.';
comment on column private.webhook_endpoints.created_by is 'The admin who made it.';
comment on column private.webhook_endpoints.created_at is 'When it was made.';
comment on column private.webhook_endpoints.disabled_at is 'When it answered 410 Gone, and gets nothing more since.';

create table if not exists private.webhook_deliveries (
  id bigint generated always as identity primary key,
  event_id uuid not null,
  endpoint_id uuid not null references private.webhook_endpoints (id) on delete cascade,
  type text not null,
  data jsonb not null,
  occurred_at timestamptz not null default now(),
  status text not null default 'pending' check (status in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0 check (attempts >= 0),
  due_at timestamptz not null default now(),
  attempted_at timestamptz,
  response_status integer,
  failure text check (length(failure) <= 100)
);
create index if not exists webhook_deliveries_pending_idx on private.webhook_deliveries (endpoint_id, id) where status = 'pending';
create index if not exists webhook_deliveries_endpoint_idx on private.webhook_deliveries (endpoint_id, id);
create index if not exists webhook_deliveries_failed_idx on private.webhook_deliveries (endpoint_id, id) where status = 'failed';
create index if not exists webhook_deliveries_settled_idx on private.webhook_deliveries (attempted_at) where status <> 'pending';
comment on table private.webhook_deliveries is 'Events on their way to endpoints, and for a while those that arrived (7 days) or were given up (30 days).';
comment on column private.webhook_deliveries.id is 'Counts up; events reach an endpoint in this order while it answers.';
comment on column private.webhook_deliveries.event_id is 'The event, the same at every endpoint and every attempt: the header webhook-id.';
comment on column private.webhook_deliveries.endpoint_id is 'Where it goes.';
comment on column private.webhook_deliveries.type is 'What happened.';
comment on column private.webhook_deliveries.data is 'The particulars: ids and numbers, no names or addresses.';
comment on column private.webhook_deliveries.occurred_at is 'When it happened.';
comment on column private.webhook_deliveries.status is 'pending, delivered, or failed after the last attempt.';
comment on column private.webhook_deliveries.attempts is 'How often it was tried, the attempt under way included.';
comment on column private.webhook_deliveries.due_at is 'When it is to be tried next. While a server tries it, when another one may.';
comment on column private.webhook_deliveries.attempted_at is 'When it was tried last.';
comment on column private.webhook_deliveries.response_status is 'The HTTP status it was answered with last.';
comment on column private.webhook_deliveries.failure is 'Why the last attempt failed, as a code.';
