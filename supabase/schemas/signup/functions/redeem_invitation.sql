-- The account was just made. Of two people with one code the second waits for the first, finds it redeemed, and the
-- refusal takes their account back.
create or replace function private.redeem_invitation(p_user public.users, p_code_hash text)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_invitation private.invitations;
begin
  update private.invitations i set redeemed_at = now(), redeemed_by = p_user.id
   where i.id = (
       -- Without a code, who is here has proved an address: an invitation to it is theirs.
       select o.id from private.invitations o
        where case when p_code_hash is null then o.email = p_user.email else o.code_hash = decode(p_code_hash, 'hex') end
          and o.redeemed_at is null and o.expires_at > now()
        order by o.expires_at, o.id limit 1 for update
     )
     and i.redeemed_at is null and (i.email is null or i.email = p_user.email)
  returning i.* into v_invitation;
  if not found then
    raise sqlstate 'PT403' using message = case when p_code_hash is null then 'INVITATION_REQUIRED' else 'INVITATION_INVALID' end;
  end if;
  if v_invitation.email is not null then
    update public.users set email_verified_at = coalesce(email_verified_at, now()) where id = p_user.id;
  end if;
  if v_invitation.tokens is not null then
    perform private.grant_default_tokens(
      p_user.id, v_invitation.tokens, v_invitation.created_by, 'invitation:' || v_invitation.id, true
    );
  end if;
  perform private.audit('user:' || p_user.id, null, 'redeem_invitation', 'invitation:' || v_invitation.id, null, null);
end
$$;
comment on function private.redeem_invitation(public.users, text) is
  'Uses up the invitation with this code (SHA-256, hex), or the one to the account''s address, pays the tokens it names, and proves the address it is bound to; raises INVITATION_REQUIRED, INVITATION_INVALID.';
