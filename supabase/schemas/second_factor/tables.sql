-- Second factors of people: time-based one-time passwords (RFC 6238), and the sign-ins that wait for a code of one.

create table if not exists private.user_second_factors (
  user_id uuid primary key references public.users (id) on delete cascade,
  id uuid not null default gen_random_uuid(),
  secret text not null check (length(secret) between 16 and 128),
  created_at timestamptz not null default now(),
  confirmed_at timestamptz,
  last_step bigint not null default 0
);
comment on table private.user_second_factors is 'Second factors of people: time-based one-time passwords (RFC 6238).';
comment on column private.user_second_factors.user_id is 'The account.';
comment on column private.user_second_factors.id is 'Changes with the secret: a code that was checked against another one proves nothing.';
comment on column private.user_second_factors.secret is 'The shared secret in base32.';
comment on column private.user_second_factors.created_at is 'When it was made.';
comment on column private.user_second_factors.confirmed_at is 'When a first code was shown; null while it is being set up and asks nobody for a code.';
comment on column private.user_second_factors.last_step is 'The time step of the newest code that was used: neither it nor an earlier one is good again.';

create table if not exists private.user_recovery_codes (
  user_id uuid not null references private.user_second_factors (user_id) on delete cascade,
  code_hash bytea not null check (length(code_hash) = 32),
  primary key (user_id, code_hash)
);
comment on table private.user_recovery_codes is 'Codes that stand in for a lost second factor of a person. Using one deletes its row.';
comment on column private.user_recovery_codes.user_id is 'The account.';
comment on column private.user_recovery_codes.code_hash is 'SHA-256 of the code, which has 80 random bits and was shown once.';

create table if not exists private.sign_in_challenges (
  challenge_hash bytea primary key check (length(challenge_hash) = 32),
  user_id uuid not null references private.user_second_factors (user_id) on delete cascade,
  attempts smallint not null default 0 check (attempts between 0 and 5),
  expires_at timestamptz not null default now() + interval '5 minutes'
);
create index if not exists sign_in_challenges_user_idx on private.sign_in_challenges (user_id);
create index if not exists sign_in_challenges_expiry_idx on private.sign_in_challenges (expires_at);
comment on table private.sign_in_challenges is 'Sign-ins that showed a password or a provider''s word and wait for the code of the second factor. Each opens one session.';
comment on column private.sign_in_challenges.challenge_hash is 'SHA-256 of the 256 random bits the client was given.';
comment on column private.sign_in_challenges.user_id is 'The account.';
comment on column private.sign_in_challenges.attempts is 'Codes that were sent with it; after five it is over.';
comment on column private.sign_in_challenges.expires_at is 'When it is over in any case.';

create table if not exists private.proved_google_tokens (
  token_hash bytea primary key check (length(token_hash) = 32),
  user_id uuid not null references private.user_second_factors (user_id) on delete cascade,
  expires_at timestamptz not null default now() + interval '1 hour'
);
create index if not exists proved_google_tokens_user_idx on private.proved_google_tokens (user_id);
create index if not exists proved_google_tokens_expiry_idx on private.proved_google_tokens (expires_at);
comment on table private.proved_google_tokens is 'Google''s access tokens that came with a code of the second factor: they open the account until they end.';
comment on column private.proved_google_tokens.token_hash is 'SHA-256 of the access token.';
comment on column private.proved_google_tokens.user_id is 'The account.';
comment on column private.proved_google_tokens.expires_at is 'When a code is needed again; Google''s tokens live no longer than an hour.';
