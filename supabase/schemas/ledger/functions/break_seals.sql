create or replace function private.break_seals()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  -- Of all rows, said in words: sessions of Supabase's Data API refuse a delete or an update that names none.
  delete from private.sealed_totals where true;
  delete from private.sealed_rollups where true;
  delete from private.sealed_events where true;
  delete from private.sealed_months where true;
  delete from private.quarter_hour_usage where true;
  delete from private.daily_usage where true;
  delete from private.daily_subject_usage where true;
  delete from private.monthly_subject_usage where true;
  delete from private.summed_days where true;
  return null;
end
$$;
comment on function private.break_seals() is 'Trigger: takes every seal and every day''s sum away, so that all of them are made from their rows again.';
