create or replace function public.set_alert_settings(p_actor jsonb, p_settings jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes the settings, which no API role may.
declare
  v_before jsonb;
  v_after jsonb;
begin
  perform private.require_admin(p_actor);
  perform from private.alert_settings s for update;
  v_before := private.alert_settings_json();
  v_after := v_before || p_settings;
  update private.alert_settings s
     set device_thresholds = array(select t::smallint from jsonb_array_elements_text(v_after -> 'device_thresholds') t group by t::smallint order by t::smallint),
         user_thresholds = array(select t::smallint from jsonb_array_elements_text(v_after -> 'user_thresholds') t group by t::smallint order by t::smallint),
         pool_thresholds = array(select t::smallint from jsonb_array_elements_text(v_after -> 'pool_thresholds') t group by t::smallint order by t::smallint),
         mail_people = (v_after ->> 'mail_people')::boolean,
         mail_to = array(select a from jsonb_array_elements_text(v_after -> 'mail_to') a group by a order by a),
         updated_at = now()
   where s.id;
  -- Those whose thresholds changed look at them with their next debit.
  if v_before -> 'device_thresholds' <> v_after -> 'device_thresholds'
    or v_before -> 'user_thresholds' <> v_after -> 'user_thresholds' then
    update private.alert_settings s set renewing_after = '00000000-0000-0000-0000-000000000000' where s.id;
    perform public.renew_alerts();
  end if;
  -- The audit log can never be cleaned, so it does not name addresses.
  v_after := private.alert_settings_json();
  perform private.audit_admin(p_actor, 'set_alerts', 'alerts', v_before - 'mail_to' - 'updated_at', v_after - 'mail_to' - 'updated_at');
  return v_after;
end
$$;
grant execute on function public.set_alert_settings(jsonb, jsonb) to service_role;
comment on function public.set_alert_settings(jsonb, jsonb) is
  'Changes those of {device_thresholds, user_thresholds, pool_thresholds, mail_people, mail_to} that are given; returns all.';
