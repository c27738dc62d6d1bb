-- The identity is {provider, subject, email, name, picture}; the provider verified the address.
create or replace function private.resolve_external_identity(
  p_identity jsonb, p_default_tokens bigint, p_sign_up text
)
returns public.users
language plpgsql volatile set search_path = ''
as $$
declare
  v_provider text := p_identity ->> 'provider';
  v_subject text := p_identity ->> 'subject';
  v_email text := p_identity ->> 'email';
  v_known record;
  v_user public.users;
begin
  -- Sign-ins of one person at the same moment wait for each other, whatever address each of them names.
  perform pg_advisory_xact_lock(hashtextextended('external identity ' || v_provider || ' ' || v_subject, 0));

  -- Who somebody is, the provider's subject says; the address may have changed since, there or here.
  select i.user_id, i.email into v_known from private.external_identities i
   where i.provider = v_provider and i.subject = v_subject;
  if found then
    if v_known.email <> v_email then
      -- An account that has the address the provider knew goes along, unless another one has the new address.
      select u.* into v_user from public.users u where u.id = v_known.user_id for update;
      -- With a second factor its owner changes the address, as no code of it was shown by now.
      if v_user.email = v_known.email and not private.has_second_factor(v_user.id)
         and private.change_email(v_user.id, v_email) then
        perform private.grant_default_tokens(v_user.id, p_default_tokens, 'system:' || v_provider);
      end if;
    end if;
    update private.external_identities i set last_used_at = now(), email = v_email
     where i.provider = v_provider and i.subject = v_subject;
    select u.* into v_user from public.users u where u.id = v_known.user_id;
    -- Nobody, where the account was deleted meanwhile.
    if found then
      return v_user;
    end if;
  end if;

  loop
    -- Holds back sessions and keys that are just being made for the account until it is clear whose it is.
    select u.* into v_user from public.users u where u.email = v_email for update;
    exit when found;
    if p_sign_up = 'closed' then
      raise sqlstate 'PT403' using message = 'SIGNUP_CLOSED';
    end if;
    v_user := private.create_account(v_email, p_identity ->> 'name', p_identity ->> 'picture');
    if v_user.id is not null and p_sign_up = 'invite' then
      -- The provider proved the address: an invitation to it needs no code.
      perform private.redeem_invitation(v_user, null);
    end if;
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
  perform private.grant_default_tokens(v_user.id, p_default_tokens, 'system:' || v_provider);
  select u.* into v_user from public.users u where u.id = v_user.id;
  return v_user;
end
$$;
comment on function private.resolve_external_identity(jsonb, bigint, text) is
  'Returns the account a provider''s identity opens: its own, the one with its address, or a new one where p_sign_up lets it. Nulls where the address belongs to another person of that provider; raises SIGNUP_CLOSED, INVITATION_REQUIRED.';
