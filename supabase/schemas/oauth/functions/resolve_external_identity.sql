-- The identity is {provider, subject, email, name, picture}; the provider verified the address.
create or replace function private.resolve_external_identity(p_identity jsonb, p_default_tokens bigint)
returns public.users
language plpgsql volatile set search_path = ''
as $$
declare
  v_provider text := p_identity ->> 'provider';
  v_subject text := p_identity ->> 'subject';
  v_email text := p_identity ->> 'email';
  v_user public.users;
begin
  -- Sign-ins of one person at the same moment wait for each other, whatever address each of them names.
  perform pg_advisory_xact_lock(hashtextextended('external identity ' || v_provider || ' ' || v_subject, 0));

  -- Who somebody is, the provider's subject says; the address may have changed since, there or here.
  with used as (
    update private.external_identities i set last_used_at = now(), email = v_email
     where i.provider = v_provider and i.subject = v_subject
    returning i.user_id
  )
  select u.* into v_user from public.users u join used on used.user_id = u.id;
  if found then
    return v_user;
  end if;

  loop
    -- Holds back sessions and keys that are just being made for the account until it is clear whose it is.
    select u.* into v_user from public.users u where u.email = v_email for update;
    exit when found;
    v_user := private.create_account(
      v_email, p_identity ->> 'name', p_identity ->> 'picture', p_default_tokens, 'system:' || v_provider
    );
    exit when v_user.id is not null;
    -- Somebody took the address in between: look again who.
  end loop;

  -- The name of an account nobody proved was a stranger's word, as everything else `prove_email` removes.
  update public.users u set name = p_identity ->> 'name', picture = p_identity ->> 'picture'
   where u.id = v_user.id and u.email_verified_at is null;
  perform private.prove_email(v_user.id);

  -- A second subject of one provider with the same address is another person: the address was given to somebody new
  -- after the first one left, as companies do. It must not open the first one's account.
  insert into private.external_identities (provider, subject, user_id, email)
  values (v_provider, v_subject, v_user.id, v_email)
  on conflict (user_id, provider) do nothing;
  if not found then
    return null;
  end if;
  select u.* into v_user from public.users u where u.id = v_user.id;
  return v_user;
end
$$;
comment on function private.resolve_external_identity(jsonb, bigint) is
  'Returns the account a provider''s identity opens: its own, the one with its address, or a new one. Nulls where the address belongs to another person of that provider.';
