create or replace function private.drop_account(p_by jsonb, p_user_id uuid)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_target text;
begin
  v_target := private.require_account(p_user_id);
  perform private.remove_account(p_user_id);
  perform private.audit_by(p_by, 'delete_user', v_target);
  return jsonb_build_object('deleted', true);
end
$$;
comment on function private.drop_account(jsonb, uuid) is
  'Removes an account as its owner could, in the name of {name, …}. Returns {deleted}; raises USER_NOT_FOUND, and SUBSCRIPTION_RUNNING while Stripe knows the person.';
