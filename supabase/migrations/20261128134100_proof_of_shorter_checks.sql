-- Proves the shorter checks on the rows that were there before them. Everybody may write meanwhile.

alter table public.usage_events
  validate constraint usage_events_source_check,
  validate constraint usage_events_provider_check,
  validate constraint usage_events_model_check,
  validate constraint usage_events_provenance_check;
alter table public.usage_totals validate constraint usage_totals_shard_check;
alter table public.balances
  validate constraint balances_subject_kind_check,
  validate constraint balances_allocated_check;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261128134100', '1f6a3cf9286585835d8c8df1b4ff415bd2959cd508db68a7ad4b88c2bb911e02');
