-- Admin, users: accounts made by an admin, and the list of all.

create table if not exists private.user_credentials (
  user_id uuid primary key references public.users (id) on delete cascade,
  password_hash text not null check (password_hash like '$argon2id$%'),
  updated_at timestamptz not null default now()
);
alter table private.user_credentials enable row level security;
comment on table private.user_credentials is 'Passwords of accounts that have one.';
comment on column private.user_credentials.user_id is 'The account.';
comment on column private.user_credentials.password_hash is 'argon2id hash of the password.';
comment on column private.user_credentials.updated_at is 'When the password last changed.';

create or replace function private.user_json(p_user public.users)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'id', p_user.id, 'email', p_user.email, 'name', p_user.name, 'picture', p_user.picture,
    'total_tokens', coalesce(b.allocated, 0), 'tokens_used', coalesce(b.used, 0),
    'tokens_left', coalesce(b.allocated - b.used - b.reserved, 0),
    'created_at', p_user.created_at, 'updated_at', p_user.updated_at
  ) from (select 1) one left join public.balances b on b.subject_id = p_user.id
$$;
revoke all on function private.user_json(public.users) from public, anon, authenticated, service_role;
comment on function private.user_json(public.users) is 'An account with its balance as contract 4 shows it.';

create or replace function public.create_user(
  p_actor jsonb, p_email text, p_default_tokens bigint, p_name text default null, p_password_hash text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users, credentials and balances, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_user public.users;
begin
  insert into public.users (email, name) values (p_email, p_name)
  on conflict (email) do nothing
  returning * into v_user;
  if v_user.id is null then
    raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
  end if;
  if p_password_hash is not null then
    insert into private.user_credentials (user_id, password_hash) values (v_user.id, p_password_hash);
  end if;
  perform private.open_balance(v_user.id, 'user', p_default_tokens, v_actor);
  perform private.audit(
    v_actor, p_actor ->> 'request_id', 'create_user', 'user:' || v_user.id, null, private.user_json(v_user)
  );
  return private.user_json(v_user);
end
$$;
revoke all on function public.create_user(jsonb, text, bigint, text, text) from public, anon, authenticated, service_role;
grant execute on function public.create_user(jsonb, text, bigint, text, text) to service_role;
comment on function public.create_user(jsonb, text, bigint, text, text) is
  'Creates an account with its default tokens; the password hash may be null. Answers the account; raises EMAIL_TAKEN.';

create or replace function public.list_users(
  p_actor jsonb, p_limit integer, p_query text default null, p_after_at text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every account, which no API role may.
declare
  v_pattern text := '%' || replace(replace(replace(lower(p_query), '\', '\\'), '%', '\%'), '_', '\_') || '%';
begin
  perform private.require_admin(p_actor);
  return jsonb_build_object(
    'count', (
      select count(*) from public.users u
       where v_pattern is null or u.email like v_pattern or lower(u.name) like v_pattern
    ),
    'users', (
      select coalesce(jsonb_agg(private.user_json(page) order by page.created_at desc, page.id desc), '[]')
        from (
          select u.* from public.users u
           where (v_pattern is null or u.email like v_pattern or lower(u.name) like v_pattern)
             and (p_after_id is null or (u.created_at, u.id) < (p_after_at::timestamptz, p_after_id))
           order by u.created_at desc, u.id desc
           limit p_limit
        ) page
    )
  );
exception
  -- The place to go on from is the caller's word.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
revoke all on function public.list_users(jsonb, integer, text, text, uuid) from public, anon, authenticated, service_role;
grant execute on function public.list_users(jsonb, integer, text, text, uuid) to service_role;
comment on function public.list_users(jsonb, integer, text, text, uuid) is
  'Accounts with their balances, newest first: {count, users}. The query searches e-mail and name; after (time, id) to page on.';
create index if not exists users_created_at_idx on public.users (created_at, id);
