create or replace function private.raise_alert(p_type text, p_data jsonb, p_user_id uuid default null)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  insert into private.alerts (type, data, user_id) values (p_type, p_data, p_user_id);
  perform private.request_alert_mails(p_type, p_data, p_user_id);
end
$$;
comment on function private.raise_alert(text, jsonb, uuid) is
  'Writes down what admins see among the recent alerts, and asks the servers to mail about it.';
