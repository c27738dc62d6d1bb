insert into private.alert_settings (id) values (true) on conflict (id) do nothing;
