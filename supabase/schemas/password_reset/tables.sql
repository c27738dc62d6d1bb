-- A mailed link proves the address and sets a new password, once.

create table if not exists private.password_resets (
  email text primary key,
  user_id uuid references public.users (id) on delete cascade,
  token_hash bytea not null unique check (length(token_hash) = 32),
  requested_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index if not exists password_resets_user_idx on private.password_resets (user_id);
create index if not exists password_resets_expires_idx on private.password_resets (expires_at);
comment on table private.password_resets is
  'The newest link mailed to each address. Asking writes a row whether or not there is an account, so that neither the answer nor its time tells.';
comment on column private.password_resets.email is 'The address asked for, in lower case.';
comment on column private.password_resets.user_id is 'The account, or null where there is none: nothing was mailed then.';
comment on column private.password_resets.token_hash is 'SHA-256 of the 256 random bits in the link.';
comment on column private.password_resets.requested_at is 'When the link was asked for.';
comment on column private.password_resets.expires_at is 'When the link ends.';
