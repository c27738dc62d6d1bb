export type Json =
  | string
  | number
  | boolean
  | null
  | { [key: string]: Json | undefined }
  | Json[]

export type Database = {
  // Allows to automatically instantiate createClient with right options
  // instead of createClient<Database, { PostgrestVersion: 'XX' }>(URL, KEY)
  __InternalSupabase: {
    PostgrestVersion: "13"
  }
  public: {
    Tables: {
      [_ in never]: never
    }
    Views: {
      [_ in never]: never
    }
    Functions: {
      account_tier: { Args: { p_account: string }; Returns: string }
      allocate: {
        Args: {
          p_actor: Json
          p_from_id?: string
          p_key?: string
          p_kind: string
          p_subject_id: string
          p_tokens: number
        }
        Returns: Json
      }
      applied_migrations: {
        Args: Record<PropertyKey, never>
        Returns: {
          sha256: string
          version: string
        }[]
      }
      apply_invoice: {
        Args: { p_event?: Json; p_invoice: Json }
        Returns: Json
      }
      apply_return: {
        Args: {
          p_event?: Json
          p_forgives: boolean
          p_return: Json
          p_version: number
        }
        Returns: Json
      }
      apply_subscription: {
        Args: { p_event?: Json; p_state: Json; p_version?: number }
        Returns: Json
      }
      archive_month: { Args: { p_keep_months?: number }; Returns: Json }
      archived_rollups: {
        Args: { p_from: string; p_subjects: string[]; p_to: string }
        Returns: unknown[]
        SetofOptions: {
          from: "*"
          to: "usage_rollups"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      archived_until: { Args: Record<PropertyKey, never>; Returns: string }
      archived_usage: {
        Args: {
          p_at?: string
          p_filter?: Json
          p_from: string
          p_id?: string
          p_is_ascending?: boolean
          p_limit: number
          p_linked_to?: string
          p_subject_id: string
          p_to: string
        }
        Returns: unknown[]
        SetofOptions: {
          from: "*"
          to: "usage_events"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      attach_stripe_customer: {
        Args: { p_caller: Json; p_customer_id: string; p_replaces?: string }
        Returns: string
      }
      authenticate_api_key: { Args: { p_key_hash: string }; Returns: Json }
      begin_admin_login: {
        Args: { p_address: string; p_username: string }
        Returns: Json
      }
      begin_admin_proof: { Args: { p_actor: Json }; Returns: Json }
      begin_bulk_change: {
        Args: {
          p_actor: Json
          p_change: Json
          p_filter?: string
          p_key?: string
          p_kind: string
          p_query?: string
        }
        Returns: Json
      }
      begin_oauth_flow: {
        Args: {
          p_client_state?: string
          p_code_challenge?: string
          p_provider: string
          p_redirect_uri?: string
          p_state_hash: string
        }
        Returns: boolean
      }
      begin_own_proof: { Args: { p_caller: Json }; Returns: Json }
      begin_password_change: { Args: { p_caller: Json }; Returns: Json }
      begin_second_factor: {
        Args: { p_actor: Json; p_secret: string }
        Returns: boolean
      }
      begin_stripe_sync: { Args: { p_minutes: number }; Returns: boolean }
      begin_user_login: {
        Args: { p_address: string; p_email: string }
        Returns: Json
      }
      begin_user_second_factor: {
        Args: { p_caller: Json; p_secret: string; p_verified_hash?: string }
        Returns: boolean
      }
      carry_on_bulk_change: { Args: Record<PropertyKey, never>; Returns: Json }
      change_admin_password: {
        Args: {
          p_actor: Json
          p_password_hash: string
          p_session: Json
          p_verified_hash: string
        }
        Returns: Json
      }
      change_many: {
        Args: {
          p_actor: Json
          p_change: Json
          p_dry_run: boolean
          p_ids: string[]
          p_key?: string
          p_kind: string
        }
        Returns: Json
      }
      change_password: {
        Args: {
          p_caller: Json
          p_notice?: string
          p_password_hash: string
          p_revoke_keys?: boolean
          p_verified_hash?: string
        }
        Returns: Json
      }
      change_tracker: {
        Args: { p_caller: Json; p_changes: Json }
        Returns: Json
      }
      change_user_tracker: {
        Args: { p_actor: Json; p_changes: Json; p_user_id: string }
        Returns: Json
      }
      changed_states: { Args: { p_listeners: Json }; Returns: Json }
      check_ledger: { Args: { p_hours: number }; Returns: Json }
      claim_estimated_generations: {
        Args: { p_limit: number }
        Returns: {
          id: string
          upstream_id: string
        }[]
      }
      claim_mails: { Args: { p_limit: number }; Returns: Json }
      claim_webhook_deliveries: { Args: { p_limit: number }; Returns: Json }
      confirm_admin_read: { Args: { p_actor: Json }; Returns: Json }
      confirm_fresh_user: { Args: { p_caller: Json }; Returns: boolean }
      confirm_own_read: { Args: Record<PropertyKey, never>; Returns: Json }
      confirm_second_factor: {
        Args: {
          p_actor: Json
          p_recovery_hashes: string[]
          p_secret: string
          p_session: Json
          p_step: number
        }
        Returns: Json
      }
      confirm_user: {
        Args: { p_caller: Json; p_scope: string }
        Returns: boolean
      }
      confirm_user_second_factor: {
        Args: {
          p_caller: Json
          p_factor_id: string
          p_notice?: string
          p_recovery_hashes: string[]
          p_step: number
        }
        Returns: Json
      }
      consume_oauth_flow: {
        Args: { p_provider: string; p_state_hash: string }
        Returns: Json
      }
      continue_bulk_change: {
        Args: { p_actor: Json; p_id: string }
        Returns: Json
      }
      correct_generation: {
        Args: {
          p_id: string
          p_input_tokens: number
          p_nano_usd?: number
          p_output_tokens: number
        }
        Returns: Json
      }
      create_admin: {
        Args: {
          p_actor: Json
          p_password_hash: string
          p_role: string
          p_username: string
        }
        Returns: Json
      }
      create_api_key: {
        Args: {
          p_caller: Json
          p_expires_at?: string
          p_key_hash: string
          p_name: string
          p_notice?: string
          p_prefix: string
          p_scopes: string[]
        }
        Returns: Json
      }
      create_first_admin: {
        Args: { p_password_hash: string; p_username: string }
        Returns: boolean
      }
      create_invitation: {
        Args: {
          p_actor: Json
          p_code_hash: string
          p_days: number
          p_email?: string
          p_mail?: string
          p_tokens?: number
        }
        Returns: Json
      }
      create_user: {
        Args: {
          p_actor: Json
          p_default_tokens: number
          p_email: string
          p_name?: string
          p_password_hash?: string
        }
        Returns: Json
      }
      create_webhook: {
        Args: {
          p_actor: Json
          p_description?: string
          p_events: string[]
          p_secret: string
          p_url: string
        }
        Returns: Json
      }
      current_device_id: { Args: Record<PropertyKey, never>; Returns: string }
      current_user_id: { Args: Record<PropertyKey, never>; Returns: string }
      dashboard: {
        Args: {
          p_actor: Json
          p_after_id?: string
          p_after_value?: string
          p_limit: number
          p_query?: string
          p_sort: string
        }
        Returns: Json
      }
      day_start: {
        Args: { p_day: string; p_time_zone: string }
        Returns: string
      }
      delete_account: {
        Args: { p_caller: Json; p_notice?: string }
        Returns: Json
      }
      delete_account_api_key: {
        Args: { p_actor: Json; p_id: string; p_user_id: string }
        Returns: Json
      }
      delete_account_as: {
        Args: { p_actor: Json; p_user_id: string }
        Returns: Json
      }
      delete_admin: { Args: { p_actor: Json; p_id: string }; Returns: Json }
      delete_api_key: { Args: { p_caller: Json; p_id: string }; Returns: Json }
      delete_device: {
        Args: { p_actor: Json; p_device_id: string }
        Returns: Json
      }
      delete_invitation: {
        Args: { p_actor: Json; p_id: string }
        Returns: Json
      }
      delete_usage: { Args: { p_caller: Json; p_id: string }; Returns: Json }
      delete_webhook: { Args: { p_actor: Json; p_id: string }; Returns: Json }
      detach_stripe_customer: {
        Args: { p_caller: Json; p_customer_id: string }
        Returns: Json
      }
      device_ledger: {
        Args: {
          p_after_at?: string
          p_after_id?: string
          p_after_kind?: string
          p_device_id: string
          p_limit: number
        }
        Returns: Json
      }
      device_usage: {
        Args: {
          p_before_at?: string
          p_before_id?: string
          p_device_id: string
          p_from: string
          p_limit: number
          p_time_zone: string
          p_to: string
        }
        Returns: Json
      }
      drop_expired_month: {
        Args: { p_retention_months: number }
        Returns: Json
      }
      effective_tier: { Args: { p_subscription: unknown }; Returns: string }
      end_account_session: {
        Args: { p_actor: Json; p_session_id: string; p_user_id: string }
        Returns: Json
      }
      end_account_sessions: {
        Args: { p_actor: Json; p_api_keys: boolean; p_user_id: string }
        Returns: Json
      }
      end_admin_sessions: {
        Args: { p_actor: Json; p_session_id?: string }
        Returns: Json
      }
      end_session: {
        Args: { p_caller: Json; p_session_id: string }
        Returns: Json
      }
      exchange_oauth_code: {
        Args: {
          p_code_challenge?: string
          p_code_hash: string
          p_redirect_uri?: string
          p_session: Json
        }
        Returns: Json
      }
      export_account: { Args: { p_caller: Json }; Returns: Json }
      export_feature_events: {
        Args: { p_after_at?: string; p_after_id?: string; p_limit: number }
        Returns: Json
      }
      export_generations: {
        Args: { p_after_at?: string; p_after_id?: string; p_limit: number }
        Returns: Json
      }
      export_ledger_entries: {
        Args: { p_after_at?: string; p_after_id?: string; p_limit: number }
        Returns: Json
      }
      export_reservations: {
        Args: { p_after_at?: string; p_after_id?: string; p_limit: number }
        Returns: Json
      }
      export_settings: {
        Args: { p_after_at?: string; p_after_id?: string; p_limit: number }
        Returns: Json
      }
      export_settings_versions: {
        Args: { p_after_at?: string; p_after_id?: string; p_limit: number }
        Returns: Json
      }
      export_subscription_grants: {
        Args: { p_after_at?: string; p_after_id?: string; p_limit: number }
        Returns: Json
      }
      export_subscriptions: {
        Args: { p_after_at?: string; p_after_id?: string; p_limit: number }
        Returns: Json
      }
      export_usage_events: {
        Args: { p_after_at?: string; p_after_id?: string; p_limit: number }
        Returns: Json
      }
      find_google_user: {
        Args: {
          p_default_tokens: number
          p_identity: Json
          p_proof?: Json
          p_sign_up: string
          p_token_hash?: string
        }
        Returns: Json
      }
      find_password_reset: { Args: { p_token_hash: string }; Returns: Json }
      find_sign_in_challenge: {
        Args: { p_challenge_hash: string }
        Returns: Json
      }
      finish_admin_login: {
        Args: {
          p_address: string
          p_id: string
          p_password_hash: string
          p_proof?: Json
          p_session: Json
        }
        Returns: Json
      }
      finish_reset: { Args: { p_limit?: number }; Returns: number }
      finish_sign_in: {
        Args: { p_challenge_hash: string; p_proof: Json; p_session: Json }
        Returns: Json
      }
      finish_user_login: {
        Args: {
          p_address: string
          p_changed_at: string
          p_rehashed?: string
          p_session: Json
          p_user_id: string
        }
        Returns: Json
      }
      get_account: { Args: { p_actor: Json; p_user_id: string }; Returns: Json }
      get_alert_settings: { Args: { p_actor: Json }; Returns: Json }
      get_budget: { Args: { p_actor: Json; p_kind: string }; Returns: Json }
      get_bulk_change: { Args: { p_actor: Json; p_id: string }; Returns: Json }
      get_mail_queue: { Args: { p_actor: Json }; Returns: Json }
      get_managed_device: {
        Args: { p_actor: Json; p_device_id: string }
        Returns: Json
      }
      get_overview: { Args: { p_actor: Json }; Returns: Json }
      get_own_admin: { Args: { p_actor: Json }; Returns: Json }
      get_own_second_factor: { Args: { p_caller: Json }; Returns: Json }
      get_plan: { Args: { p_tier: string }; Returns: Json }
      get_profile: { Args: { p_caller: Json }; Returns: Json }
      get_purchase: {
        Args: { p_subscription_id: string; p_user_id: string }
        Returns: Json
      }
      get_return_version: { Args: { p_invoice_id: string }; Returns: number }
      get_stripe_account: { Args: { p_caller: Json }; Returns: Json }
      has_admin: { Args: Record<PropertyKey, never>; Returns: boolean }
      issue_oauth_code: {
        Args: {
          p_code_challenge?: string
          p_code_hash: string
          p_default_tokens: number
          p_identity: Json
          p_redirect_uri: string
          p_sign_up: string
        }
        Returns: boolean
      }
      keep_seals: { Args: Record<PropertyKey, never>; Returns: Json }
      list_account_api_keys: {
        Args: { p_actor: Json; p_user_id: string }
        Returns: Json
      }
      list_account_devices: {
        Args: { p_actor: Json; p_user_id: string }
        Returns: Json
      }
      list_account_ledger: {
        Args: {
          p_actor: Json
          p_before_at?: string
          p_before_id?: string
          p_limit: number
          p_user_id: string
        }
        Returns: Json
      }
      list_account_sessions: {
        Args: {
          p_actor: Json
          p_before_at?: string
          p_before_id?: string
          p_limit: number
          p_user_id: string
        }
        Returns: Json
      }
      list_accounts: {
        Args: {
          p_actor: Json
          p_after_id?: string
          p_after_value?: string
          p_filter?: string
          p_limit: number
          p_query?: string
          p_sort: string
        }
        Returns: Json
      }
      list_admin_sessions: { Args: { p_actor: Json }; Returns: Json }
      list_admins: { Args: { p_actor: Json }; Returns: Json }
      list_alert_mails: { Args: { p_limit: number }; Returns: Json }
      list_alerts: {
        Args: { p_actor: Json; p_before?: number; p_limit: number }
        Returns: Json
      }
      list_all_usage: {
        Args: {
          p_actor: Json
          p_before_at?: string
          p_before_id?: string
          p_filter?: Json
          p_from: string
          p_limit: number
          p_time_zone: string
          p_to: string
          p_user_id?: string
        }
        Returns: Json
      }
      list_api_keys: { Args: { p_caller: Json }; Returns: Json }
      list_audit: {
        Args: {
          p_action?: string
          p_actor: Json
          p_before?: number
          p_from?: string
          p_limit: number
          p_target?: string
          p_to?: string
          p_who?: string
        }
        Returns: Json
      }
      list_bulk_changes: {
        Args: { p_actor: Json; p_kind?: string }
        Returns: Json
      }
      list_device_ledger: {
        Args: {
          p_actor: Json
          p_before_at?: string
          p_before_id?: string
          p_device_id: string
          p_limit: number
        }
        Returns: Json
      }
      list_devices: {
        Args: {
          p_actor: Json
          p_after_id?: string
          p_after_value?: string
          p_filter?: string
          p_limit: number
          p_query?: string
          p_sort: string
        }
        Returns: Json
      }
      list_invitations: {
        Args: {
          p_actor: Json
          p_before_at?: string
          p_before_id?: string
          p_limit: number
        }
        Returns: Json
      }
      list_ledger_months: { Args: Record<PropertyKey, never>; Returns: Json }
      list_ledger_months_as: { Args: { p_actor: Json }; Returns: Json }
      list_model_costs: { Args: { p_actor: Json }; Returns: Json }
      list_model_weights: { Args: { p_actor: Json }; Returns: Json }
      list_period_devices: {
        Args: {
          p_actor: Json
          p_after?: string
          p_limit: number
          p_period: number
        }
        Returns: Json
      }
      list_periods: {
        Args: { p_actor: Json; p_before?: number; p_limit: number }
        Returns: Json
      }
      list_plans: { Args: { p_actor: Json }; Returns: Json }
      list_running_subscriptions: {
        Args: { p_after?: string; p_limit: number }
        Returns: Json
      }
      list_sessions: {
        Args: {
          p_before_at?: string
          p_before_id?: string
          p_caller: Json
          p_limit: number
        }
        Returns: Json
      }
      list_usage: {
        Args: {
          p_before_at?: string
          p_before_id?: string
          p_filter?: Json
          p_from: string
          p_limit: number
          p_subjects?: string[]
          p_time_zone: string
          p_to: string
        }
        Returns: Json
      }
      list_users: {
        Args: {
          p_actor: Json
          p_after_at?: string
          p_after_id?: string
          p_limit: number
          p_query?: string
        }
        Returns: Json
      }
      list_webhook_deliveries: {
        Args: {
          p_actor: Json
          p_before?: number
          p_id: string
          p_limit: number
          p_status?: string
        }
        Returns: Json
      }
      list_webhooks: { Args: { p_actor: Json }; Returns: Json }
      log_out: {
        Args: { p_all?: boolean; p_caller?: Json; p_token_hash?: string }
        Returns: Json
      }
      maintain: {
        Args: { p_monthly_tokens?: number; p_retention_months?: number }
        Returns: Json
      }
      manage_admin: {
        Args: {
          p_command: string
          p_password_hash?: string
          p_role?: string
          p_username: string
        }
        Returns: Json
      }
      meter_chat: { Args: { p_items: Json }; Returns: Json }
      meter_devices: { Args: { p_items: Json }; Returns: Json }
      my_balance: { Args: Record<PropertyKey, never>; Returns: Json }
      my_devices: {
        Args: { p_after_at?: string; p_after_id?: string; p_limit: number }
        Returns: Json
      }
      my_invoice: { Args: { p_payment_id: string }; Returns: Json }
      my_ledger: {
        Args: {
          p_after_at?: string
          p_after_id?: string
          p_after_kind?: string
          p_limit: number
        }
        Returns: Json
      }
      my_payments: {
        Args: { p_before_at?: string; p_before_id?: string; p_limit: number }
        Returns: Json
      }
      my_plans: { Args: Record<PropertyKey, never>; Returns: Json }
      my_settings: { Args: Record<PropertyKey, never>; Returns: Json }
      my_settings_changes: { Args: { p_since: number }; Returns: Json }
      my_settings_history: { Args: Record<PropertyKey, never>; Returns: Json }
      my_subscription: { Args: Record<PropertyKey, never>; Returns: Json }
      my_tokens_used: { Args: { p_since: string }; Returns: number }
      note_server_secrets: { Args: { p_fingerprints: string[] }; Returns: Json }
      operating_state: { Args: Record<PropertyKey, never>; Returns: Json }
      own_archived_rollups: {
        Args: { p_from: string; p_subjects: string[]; p_to: string }
        Returns: unknown[]
        SetofOptions: {
          from: "*"
          to: "usage_rollups"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      own_archived_usage: {
        Args: {
          p_at: string
          p_filter: Json
          p_from: string
          p_id: string
          p_is_ascending: boolean
          p_limit: number
          p_linked_to: string
          p_subject_id: string
          p_to: string
        }
        Returns: unknown[]
        SetofOptions: {
          from: "*"
          to: "usage_events"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      own_last_use: { Args: { p_device_id: string }; Returns: string }
      own_subjects: { Args: Record<PropertyKey, never>; Returns: string[] }
      pause_bulk_change: {
        Args: { p_actor: Json; p_id: string }
        Returns: Json
      }
      preview_budget: {
        Args: { p_actor: Json; p_kind: string; p_total?: number }
        Returns: Json
      }
      preview_reset: {
        Args: { p_actor: Json; p_default_tokens: number }
        Returns: Json
      }
      push_settings: {
        Args: {
          p_base_version: number
          p_caller: Json
          p_changes: Json
          p_device?: string
        }
        Returns: Json
      }
      put_settings: {
        Args: {
          p_caller: Json
          p_device?: string
          p_settings: Json
          p_versions?: number[]
        }
        Returns: Json
      }
      queue_alert_mail: {
        Args: { p_id: string; p_mail: string }
        Returns: Json
      }
      ranked_usage: {
        Args: {
          p_filter?: Json
          p_from: string
          p_groups?: number
          p_names: string[]
          p_starts: string[]
          p_subjects: string[]
          p_to: string
        }
        Returns: {
          cost: number
          device: string
          events: number
          input_tokens: number
          is_rest: boolean
          model: string
          nano_usd: number
          output_tokens: number
          period: number
          prompts: number
          provider: string
          rank: number
          source: string
          total_tokens: number
          user: string
        }[]
      }
      record_failed_admin_login: {
        Args: { p_session: Json; p_username: string }
        Returns: boolean
      }
      record_features: {
        Args: { p_items: Json; p_retention_months: number }
        Returns: Json
      }
      record_usage: {
        Args: { p_items: Json; p_retention_months: number }
        Returns: Json
      }
      redeliver_webhook: {
        Args: { p_actor: Json; p_delivery_id: number; p_id: string }
        Returns: Json
      }
      refresh_model_weights: { Args: { p_weights: Json }; Returns: Json }
      refresh_session: {
        Args: {
          p_lifetime_seconds: number
          p_successor_hash: string
          p_token_hash: string
        }
        Returns: Json
      }
      register_device: {
        Args: {
          p_caller?: Json
          p_default_tokens: number
          p_device_name: string
          p_fingerprint: string
          p_secret_hash?: string
          p_token?: Json
        }
        Returns: Json
      }
      register_user: {
        Args: {
          p_default_tokens: number
          p_email: string
          p_invitation_hash?: string
          p_mail?: string
          p_name?: string
          p_password_hash: string
          p_session: Json
          p_sign_up: string
          p_verification_hash?: string
        }
        Returns: Json
      }
      remove_second_factor: {
        Args: { p_actor: Json; p_proof: Json }
        Returns: Json
      }
      remove_user_second_factor: {
        Args: {
          p_caller: Json
          p_notice?: string
          p_proof: Json
          p_verified_hash?: string
        }
        Returns: Json
      }
      rename_my_device: {
        Args: { p_caller: Json; p_device_id: string; p_name: string }
        Returns: Json
      }
      renew_alerts: { Args: { p_limit?: number }; Returns: number }
      renew_proof: {
        Args: {
          p_caller: Json
          p_code_hash?: string
          p_proof?: Json
          p_verified_hash?: string
        }
        Returns: Json
      }
      renew_recovery_codes: {
        Args: {
          p_caller: Json
          p_notice?: string
          p_proof: Json
          p_recovery_hashes: string[]
          p_verified_hash?: string
        }
        Returns: Json
      }
      replication_state: { Args: Record<PropertyKey, never>; Returns: Json }
      request_email_verification: {
        Args: { p_email: string; p_mail: string; p_token_hash: string }
        Returns: Json
      }
      request_password_reset: {
        Args: { p_email: string; p_mail: string; p_token_hash: string }
        Returns: Json
      }
      request_proof_code: {
        Args: { p_caller: Json; p_code_hash: string; p_mail: string }
        Returns: Json
      }
      require_current_user: { Args: { p_scope?: string }; Returns: string }
      require_device_reader: {
        Args: { p_device_id: string }
        Returns: undefined
      }
      reset_monthly: {
        Args: { p_actor: Json; p_default_tokens: number; p_force?: boolean }
        Returns: Json
      }
      reset_password: {
        Args: {
          p_default_tokens: number
          p_notice?: string
          p_password_hash: string
          p_revoke_keys?: boolean
          p_token_hash: string
        }
        Returns: Json
      }
      restore_settings: {
        Args: { p_caller: Json; p_device?: string; p_version: number }
        Returns: Json
      }
      retry_stripe_sync: { Args: { p_minutes: number }; Returns: boolean }
      run_bulk_change: { Args: { p_actor: Json; p_id: string }; Returns: Json }
      set_account_plan: {
        Args: { p_actor: Json; p_tier: string; p_user_id: string }
        Returns: Json
      }
      set_alert_settings: {
        Args: { p_actor: Json; p_settings: Json }
        Returns: Json
      }
      set_budget: {
        Args: { p_actor: Json; p_kind: string; p_total?: number }
        Returns: Json
      }
      set_model_costs: { Args: { p_actor: Json; p_costs: Json }; Returns: Json }
      set_model_weights: {
        Args: { p_actor: Json; p_weights: Json }
        Returns: Json
      }
      set_plan: {
        Args: {
          p_actor: Json
          p_device_limit?: number
          p_monthly_tokens: number
          p_tier: string
        }
        Returns: Json
      }
      settle_mail: {
        Args: {
          p_attempt: number
          p_id: string
          p_outcome: string
          p_wait_seconds?: number
        }
        Returns: Json
      }
      settle_webhook_delivery: {
        Args: {
          p_attempt: number
          p_failure?: string
          p_id: number
          p_outcome: string
          p_status?: number
          p_wait_seconds?: number
        }
        Returns: Json
      }
      sign_in_with_provider: {
        Args: {
          p_default_tokens: number
          p_identity: Json
          p_session: Json
          p_sign_up: string
        }
        Returns: Json
      }
      start_period_when_due: {
        Args: { p_default_tokens: number }
        Returns: boolean
      }
      stop_bulk_change: { Args: { p_actor: Json; p_id: string }; Returns: Json }
      summarize_all_features: {
        Args: {
          p_actor: Json
          p_by_day: boolean
          p_from: string
          p_name?: string
          p_time_zone: string
          p_to: string
        }
        Returns: Json
      }
      summarize_all_usage: {
        Args: {
          p_actor: Json
          p_filter?: Json
          p_from: string
          p_group_by: string[]
          p_time_zone: string
          p_to: string
          p_top?: number
          p_user_id?: string
        }
        Returns: Json
      }
      summarize_feature_properties: {
        Args: {
          p_from: string
          p_name: string
          p_to: string
          p_user_id: string
        }
        Returns: Json
      }
      summarize_features: {
        Args: {
          p_by_day: boolean
          p_from: string
          p_name?: string
          p_time_zone: string
          p_to: string
        }
        Returns: Json
      }
      summarize_usage: {
        Args: {
          p_filter?: Json
          p_from: string
          p_group_by: string[]
          p_subjects?: string[]
          p_time_zone: string
          p_to: string
          p_top?: number
        }
        Returns: Json
      }
      suspend_account: {
        Args: { p_actor: Json; p_suspended: boolean; p_user_id: string }
        Returns: Json
      }
      take_account_second_factor: {
        Args: { p_actor: Json; p_notice?: string; p_user_id: string }
        Returns: Json
      }
      test_webhook: { Args: { p_actor: Json; p_id: string }; Returns: Json }
      track_usage: { Args: { p_items: Json }; Returns: Json }
      tracker_subject: { Args: { p_email: string }; Returns: Json }
      undo_entry: { Args: { p_actor: Json; p_entry_id: string }; Returns: Json }
      unlink_device: {
        Args: { p_caller: Json; p_device_id: string }
        Returns: Json
      }
      update_admin: {
        Args: {
          p_actor: Json
          p_id: string
          p_password_hash?: string
          p_reset_second_factor?: boolean
          p_role?: string
        }
        Returns: Json
      }
      update_device: {
        Args: {
          p_actor: Json
          p_blocked?: boolean
          p_device_id: string
          p_name?: string
          p_rotate?: boolean
        }
        Returns: Json
      }
      update_profile: {
        Args: {
          p_caller: Json
          p_changes: Json
          p_mail?: string
          p_notice?: string
          p_token_hash?: string
        }
        Returns: Json
      }
      usage_page: {
        Args: {
          p_before_at: string
          p_before_id: string
          p_filter: Json
          p_from: string
          p_limit: number
          p_subject_id: string
          p_to: string
        }
        Returns: unknown[]
        SetofOptions: {
          from: "*"
          to: "usage_events"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      usage_range: {
        Args: { p_from: string; p_time_zone: string; p_to: string }
        Returns: Record<string, unknown>
      }
      verify_email: {
        Args: { p_default_tokens: number; p_token_hash: string }
        Returns: Json
      }
      verify_ledger: {
        Args: { p_full?: boolean }
        Returns: {
          checked: number
          discrepancies: Json
          name: string
          ok: boolean
        }[]
      }
      verify_ledger_as: { Args: { p_actor: Json }; Returns: Json }
      verify_month: { Args: { p_month: string }; Returns: Json }
      verify_month_as: {
        Args: { p_actor: Json; p_month: string }
        Returns: Json
      }
      verify_user: {
        Args: { p_actor: Json; p_default_tokens: number; p_user_id: string }
        Returns: Json
      }
      write_problem: { Args: Record<PropertyKey, never>; Returns: Json }
    }
    Enums: {
      [_ in never]: never
    }
    CompositeTypes: {
      [_ in never]: never
    }
  }
}
