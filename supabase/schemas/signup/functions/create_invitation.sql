-- The audit log can never be cleaned, so it does not name the address.
create or replace function public.create_invitation(
  p_actor jsonb, p_code_hash text, p_days integer, p_email text default null, p_tokens bigint default null,
  p_mail text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes invitations and mails, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_invitation private.invitations;
begin
  if exists (select from public.users u where u.email = p_email) then
    raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
  end if;
  insert into private.invitations (code_hash, email, tokens, created_by, expires_at)
  values (decode(p_code_hash, 'hex'), p_email, p_tokens, v_actor, now() + make_interval(days => p_days))
  returning * into v_invitation;
  perform private.audit_admin(
    p_actor, 'create_invitation', 'invitation:' || v_invitation.id, null,
    jsonb_build_object('tokens', p_tokens, 'is_bound', p_email is not null, 'expires_at', v_invitation.expires_at)
  );
  if p_email is not null then
    perform private.queue_mail('invitation', p_email, v_invitation.id, p_mail, make_interval(days => p_days));
  end if;
  return private.invitation_json(v_invitation);
end
$$;
grant execute on function public.create_invitation(jsonb, text, integer, text, bigint, text) to service_role;
comment on function public.create_invitation(jsonb, text, integer, text, bigint, text) is
  'Keeps an invitation by the SHA-256 (hex) of its code, for some days; with an address it is good for that one only, and the sealed mail to it is queued. Returns it; raises EMAIL_TAKEN.';
