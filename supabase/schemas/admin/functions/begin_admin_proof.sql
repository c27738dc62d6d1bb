create or replace function public.begin_admin_proof(p_actor jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads password hashes and secrets and counts attempts, which no API role may.
declare
  v_id uuid := (p_actor ->> 'id')::uuid;
  v_wait integer;
begin
  perform private.require_admin(p_actor, null);
  v_wait := private.count_attempt('admin:proof', v_id::text, 10, interval '15 minutes');
  if v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  return (
    select jsonb_build_object(
             'allowed', true, 'username', a.username, 'password_hash', a.password_hash, 'secret', f.secret,
             'confirmed', coalesce(f.confirmed_at is not null, false)
           )
      from private.admins a left join private.admin_second_factors f on f.admin_id = a.id
     where a.id = v_id
  );
end
$$;
grant execute on function public.begin_admin_proof(jsonb) to service_role;
comment on function public.begin_admin_proof(jsonb) is
  'Counts an attempt of the calling admin at proving who they are. Returns {allowed, retry_after} or {allowed, username, password_hash, secret, confirmed}: the second factor''s, null without one.';
