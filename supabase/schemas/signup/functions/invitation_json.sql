create or replace function private.invitation_json(p_invitation private.invitations)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'id', p_invitation.id, 'email', p_invitation.email, 'tokens', p_invitation.tokens,
    'created_by', p_invitation.created_by, 'created_at', p_invitation.created_at, 'expires_at', p_invitation.expires_at,
    'redeemed_at', p_invitation.redeemed_at, 'redeemed_by', p_invitation.redeemed_by
  )
$$;
comment on function private.invitation_json(private.invitations) is 'Returns an invitation as admins see it, without its code.';
