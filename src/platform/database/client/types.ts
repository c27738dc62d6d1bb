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
      audit_log: {
        Row: {
          action: string
          actor: string
          after: Json | null
          before: Json | null
          created_at: string
          id: number
          request_id: string | null
          target: string | null
        }
        Insert: {
          action: string
          actor: string
          after?: Json | null
          before?: Json | null
          created_at?: string
          id?: never
          request_id?: string | null
          target?: string | null
        }
        Update: {
          action?: string
          actor?: string
          after?: Json | null
          before?: Json | null
          created_at?: string
          id?: never
          request_id?: string | null
          target?: string | null
        }
        Relationships: []
      }
      balances: {
        Row: {
          allocated: number
          debt: number
          period: number
          reserved: number
          subject_id: string
          subject_kind: string
          updated_at: string
          used: number
        }
        Insert: {
          allocated?: number
          debt?: number
          period?: number
          reserved?: number
          subject_id: string
          subject_kind: string
          updated_at?: string
          used?: number
        }
        Update: {
          allocated?: number
          debt?: number
          period?: number
          reserved?: number
          subject_id?: string
          subject_kind?: string
          updated_at?: string
          used?: number
        }
        Relationships: []
      }
      budgets: {
        Row: {
          allocated: number
          subject_kind: string
          total: number | null
          updated_at: string
        }
        Insert: {
          allocated?: number
          subject_kind: string
          total?: number | null
          updated_at?: string
        }
        Update: {
          allocated?: number
          subject_kind?: string
          total?: number | null
          updated_at?: string
        }
        Relationships: []
      }
      devices: {
        Row: {
          blocked: boolean
          created_at: string
          deleted_at: string | null
          fingerprint_hash: string | null
          first_user_id: string | null
          id: string
          last_registered_at: string
          name: string
          registrations: number
          token_version: number
          user_id: string | null
        }
        Insert: {
          blocked?: boolean
          created_at?: string
          deleted_at?: string | null
          fingerprint_hash?: string | null
          first_user_id?: string | null
          id?: string
          last_registered_at?: string
          name: string
          registrations?: number
          token_version?: number
          user_id?: string | null
        }
        Update: {
          blocked?: boolean
          created_at?: string
          deleted_at?: string | null
          fingerprint_hash?: string | null
          first_user_id?: string | null
          id?: string
          last_registered_at?: string
          name?: string
          registrations?: number
          token_version?: number
          user_id?: string | null
        }
        Relationships: [
          {
            foreignKeyName: "devices_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "user_overview"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "devices_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
        ]
      }
      feature_events: {
        Row: {
          created_at: string
          id: string
          name: string
          occurred_at: string
          properties: NonNullable<Json>
          user_id: string
        }
        Insert: {
          created_at?: string
          id?: string
          name: string
          occurred_at: string
          properties?: NonNullable<Json>
          user_id: string
        }
        Update: {
          created_at?: string
          id?: string
          name?: string
          occurred_at?: string
          properties?: NonNullable<Json>
          user_id?: string
        }
        Relationships: [
          {
            foreignKeyName: "feature_events_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "user_overview"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "feature_events_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
        ]
      }
      feature_rollups: {
        Row: {
          bucket: string
          events: number
          name: string
          user_id: string
        }
        Insert: {
          bucket: string
          events: number
          name: string
          user_id: string
        }
        Update: {
          bucket?: string
          events?: number
          name?: string
          user_id?: string
        }
        Relationships: [
          {
            foreignKeyName: "feature_rollups_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "user_overview"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "feature_rollups_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
        ]
      }
      generations: {
        Row: {
          created_at: string
          id: string
          input_estimate: number
          input_tokens: number | null
          model: string
          output_tokens: number | null
          provenance: string | null
          provider: string | null
          reconcile_at: string | null
          reconcile_tries: number
          source: string
          subject_id: string
          uncollected: number
          upstream_id: string | null
        }
        Insert: {
          created_at?: string
          id: string
          input_estimate: number
          input_tokens?: number | null
          model: string
          output_tokens?: number | null
          provenance?: string | null
          provider?: string | null
          reconcile_at?: string | null
          reconcile_tries?: number
          source: string
          subject_id: string
          uncollected?: number
          upstream_id?: string | null
        }
        Update: {
          created_at?: string
          id?: string
          input_estimate?: number
          input_tokens?: number | null
          model?: string
          output_tokens?: number | null
          provenance?: string | null
          provider?: string | null
          reconcile_at?: string | null
          reconcile_tries?: number
          source?: string
          subject_id?: string
          uncollected?: number
          upstream_id?: string | null
        }
        Relationships: [
          {
            foreignKeyName: "generations_id_fkey"
            columns: ["id"]
            referencedRelation: "reservations"
            referencedColumns: ["id"]
          },
        ]
      }
      ledger_entries: {
        Row: {
          actor: string
          amount: number
          created_at: string
          id: string
          kind: string
          period: number
          reference: string | null
          subject_id: string
        }
        Insert: {
          actor: string
          amount: number
          created_at?: string
          id?: string
          kind: string
          period: number
          reference?: string | null
          subject_id: string
        }
        Update: {
          actor?: string
          amount?: number
          created_at?: string
          id?: string
          kind?: string
          period?: number
          reference?: string | null
          subject_id?: string
        }
        Relationships: []
      }
      model_costs: {
        Row: {
          cost: number
          model: string
          updated_at: string
        }
        Insert: {
          cost: number
          model: string
          updated_at?: string
        }
        Update: {
          cost?: number
          model?: string
          updated_at?: string
        }
        Relationships: []
      }
      period_balances: {
        Row: {
          allocated: number
          period: number
          subject_id: string
          used: number
        }
        Insert: {
          allocated: number
          period: number
          subject_id: string
          used: number
        }
        Update: {
          allocated?: number
          period?: number
          subject_id?: string
          used?: number
        }
        Relationships: [
          {
            foreignKeyName: "period_balances_period_fkey"
            columns: ["period"]
            referencedRelation: "periods"
            referencedColumns: ["number"]
          },
        ]
      }
      periods: {
        Row: {
          closed_at: string | null
          closed_by: string | null
          default_tokens: number | null
          number: number
          started_at: string
        }
        Insert: {
          closed_at?: string | null
          closed_by?: string | null
          default_tokens?: number | null
          number: number
          started_at?: string
        }
        Update: {
          closed_at?: string | null
          closed_by?: string | null
          default_tokens?: number | null
          number?: number
          started_at?: string
        }
        Relationships: []
      }
      plans: {
        Row: {
          device_limit: number | null
          monthly_tokens: number
          tier: string
          updated_at: string
        }
        Insert: {
          device_limit?: number | null
          monthly_tokens: number
          tier: string
          updated_at?: string
        }
        Update: {
          device_limit?: number | null
          monthly_tokens?: number
          tier?: string
          updated_at?: string
        }
        Relationships: []
      }
      reservations: {
        Row: {
          amount: number
          closed_at: string | null
          created_at: string
          expires_at: string
          id: string
          model: string
          prompt_count: number
          status: string
          subject_id: string
          usage_event_id: string | null
        }
        Insert: {
          amount: number
          closed_at?: string | null
          created_at?: string
          expires_at: string
          id?: string
          model: string
          prompt_count: number
          status?: string
          subject_id: string
          usage_event_id?: string | null
        }
        Update: {
          amount?: number
          closed_at?: string | null
          created_at?: string
          expires_at?: string
          id?: string
          model?: string
          prompt_count?: number
          status?: string
          subject_id?: string
          usage_event_id?: string | null
        }
        Relationships: []
      }
      settings: {
        Row: {
          created_at: string
          last_synced_at: string
          pruned_at: number
          pruned_version: number
          user_id: string
          version: number
        }
        Insert: {
          created_at?: string
          last_synced_at?: string
          pruned_at?: number
          pruned_version?: number
          user_id: string
          version?: number
        }
        Update: {
          created_at?: string
          last_synced_at?: string
          pruned_at?: number
          pruned_version?: number
          user_id?: string
          version?: number
        }
        Relationships: [
          {
            foreignKeyName: "settings_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "user_overview"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "settings_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
        ]
      }
      settings_entries: {
        Row: {
          claimed_at: number
          created_at: string
          deleted: boolean
          device: string
          name: string
          updated_at: number
          user_id: string
          value: Json | null
          version: number
        }
        Insert: {
          claimed_at: number
          created_at?: string
          deleted?: never
          device?: string
          name: string
          updated_at: number
          user_id: string
          value?: Json | null
          version: number
        }
        Update: {
          claimed_at?: number
          created_at?: string
          deleted?: never
          device?: string
          name?: string
          updated_at?: number
          user_id?: string
          value?: Json | null
          version?: number
        }
        Relationships: [
          {
            foreignKeyName: "settings_entries_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "user_overview"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "settings_entries_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
        ]
      }
      settings_versions: {
        Row: {
          action: string
          created_at: string
          device: string
          settings: NonNullable<Json>
          user_id: string
          version: number
        }
        Insert: {
          action: string
          created_at?: string
          device?: string
          settings: NonNullable<Json>
          user_id: string
          version: number
        }
        Update: {
          action?: string
          created_at?: string
          device?: string
          settings?: NonNullable<Json>
          user_id?: string
          version?: number
        }
        Relationships: [
          {
            foreignKeyName: "settings_versions_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "user_overview"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "settings_versions_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
        ]
      }
      subscription_grants: {
        Row: {
          created_at: string
          granted_tokens: number
          id: string
          net_tokens: number
          period_end: string
          period_start: string
          renewal: boolean
          stripe_invoice_id: string
          stripe_subscription_id: string
          tier: string
          user_id: string
        }
        Insert: {
          created_at?: string
          granted_tokens: number
          id?: string
          net_tokens: number
          period_end: string
          period_start: string
          renewal: boolean
          stripe_invoice_id: string
          stripe_subscription_id: string
          tier: string
          user_id: string
        }
        Update: {
          created_at?: string
          granted_tokens?: number
          id?: string
          net_tokens?: number
          period_end?: string
          period_start?: string
          renewal?: boolean
          stripe_invoice_id?: string
          stripe_subscription_id?: string
          tier?: string
          user_id?: string
        }
        Relationships: [
          {
            foreignKeyName: "subscription_grants_tier_fkey"
            columns: ["tier"]
            referencedRelation: "plans"
            referencedColumns: ["tier"]
          },
          {
            foreignKeyName: "subscription_grants_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "user_overview"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "subscription_grants_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
        ]
      }
      subscriptions: {
        Row: {
          cancel_at_period_end: boolean
          created_at: string
          current_period_end: string | null
          current_period_start: string | null
          grace_ends_at: string | null
          started_at: string | null
          state_at: string | null
          status: string
          stripe_customer_id: string | null
          stripe_subscription_id: string | null
          tier: string | null
          updated_at: string
          user_id: string
          version: number
          tier_in_force: string | null
        }
        Insert: {
          cancel_at_period_end?: boolean
          created_at?: string
          current_period_end?: string | null
          current_period_start?: string | null
          grace_ends_at?: string | null
          started_at?: string | null
          state_at?: string | null
          status?: string
          stripe_customer_id?: string | null
          stripe_subscription_id?: string | null
          tier?: string | null
          updated_at?: string
          user_id: string
          version?: number
        }
        Update: {
          cancel_at_period_end?: boolean
          created_at?: string
          current_period_end?: string | null
          current_period_start?: string | null
          grace_ends_at?: string | null
          started_at?: string | null
          state_at?: string | null
          status?: string
          stripe_customer_id?: string | null
          stripe_subscription_id?: string | null
          tier?: string | null
          updated_at?: string
          user_id?: string
          version?: number
        }
        Relationships: [
          {
            foreignKeyName: "subscriptions_tier_fkey"
            columns: ["tier"]
            referencedRelation: "plans"
            referencedColumns: ["tier"]
          },
          {
            foreignKeyName: "subscriptions_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "user_overview"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "subscriptions_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
        ]
      }
      tracker_counters: {
        Row: {
          prompts: number
          tokens: number
          updated_at: string
          user_id: string
        }
        Insert: {
          prompts?: number
          tokens?: number
          updated_at?: string
          user_id: string
        }
        Update: {
          prompts?: number
          tokens?: number
          updated_at?: string
          user_id?: string
        }
        Relationships: [
          {
            foreignKeyName: "tracker_counters_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "user_overview"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "tracker_counters_user_id_fkey"
            columns: ["user_id"]
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
        ]
      }
      usage_events: {
        Row: {
          cost: number
          created_at: string
          device_id: string | null
          id: string
          input_tokens: number
          model: string
          occurred_at: string
          output_tokens: number
          period: number
          prompt_count: number
          provenance: string
          provider: string
          source: string
          subject_id: string
          total_tokens: number
          url: string | null
          user_id: string | null
        }
        Insert: {
          cost?: number
          created_at?: string
          device_id?: string | null
          id?: string
          input_tokens?: number
          model: string
          occurred_at?: string
          output_tokens?: number
          period: number
          prompt_count?: number
          provenance: string
          provider?: string
          source: string
          subject_id: string
          total_tokens?: number
          url?: string | null
          user_id?: string | null
        }
        Update: {
          cost?: number
          created_at?: string
          device_id?: string | null
          id?: string
          input_tokens?: number
          model?: string
          occurred_at?: string
          output_tokens?: number
          period?: number
          prompt_count?: number
          provenance?: string
          provider?: string
          source?: string
          subject_id?: string
          total_tokens?: number
          url?: string | null
          user_id?: string | null
        }
        Relationships: []
      }
      usage_rollups: {
        Row: {
          bucket: string
          cost: number
          events: number
          input_tokens: number
          model: string
          output_tokens: number
          prompts: number
          provider: string
          source: string
          subject_id: string
          total_tokens: number
        }
        Insert: {
          bucket: string
          cost: number
          events: number
          input_tokens: number
          model: string
          output_tokens: number
          prompts: number
          provider: string
          source: string
          subject_id: string
          total_tokens: number
        }
        Update: {
          bucket?: string
          cost?: number
          events?: number
          input_tokens?: number
          model?: string
          output_tokens?: number
          prompts?: number
          provider?: string
          source?: string
          subject_id?: string
          total_tokens?: number
        }
        Relationships: []
      }
      usage_totals: {
        Row: {
          bucket: string
          cost: number
          events: number
          input_tokens: number
          output_tokens: number
          prompts: number
          shard: number
          total_tokens: number
        }
        Insert: {
          bucket: string
          cost: number
          events: number
          input_tokens: number
          output_tokens: number
          prompts: number
          shard: number
          total_tokens: number
        }
        Update: {
          bucket?: string
          cost?: number
          events?: number
          input_tokens?: number
          output_tokens?: number
          prompts?: number
          shard?: number
          total_tokens?: number
        }
        Relationships: []
      }
      users: {
        Row: {
          created_at: string
          email: string
          email_verified_at: string | null
          id: string
          name: string | null
          picture: string | null
          updated_at: string
        }
        Insert: {
          created_at?: string
          email: string
          email_verified_at?: string | null
          id?: string
          name?: string | null
          picture?: string | null
          updated_at?: string
        }
        Update: {
          created_at?: string
          email?: string
          email_verified_at?: string | null
          id?: string
          name?: string | null
          picture?: string | null
          updated_at?: string
        }
        Relationships: []
      }
    }
    Views: {
      device_overview: {
        Row: {
          allocated: number | null
          blocked: boolean | null
          created_at: string | null
          id: string | null
          last_registered_at: string | null
          name: string | null
          registrations: number | null
          remaining: number | null
          reserved: number | null
          used: number | null
          user_email: string | null
        }
        Relationships: []
      }
      usage_by_day: {
        Row: {
          cost: number | null
          day: string | null
          events: number | null
          prompts: number | null
          total_tokens: number | null
        }
        Relationships: []
      }
      usage_by_model: {
        Row: {
          cost: number | null
          events: number | null
          model: string | null
          month: string | null
          prompts: number | null
          provider: string | null
          source: string | null
          total_tokens: number | null
        }
        Relationships: []
      }
      user_overview: {
        Row: {
          allocated: number | null
          created_at: string | null
          devices: number | null
          email: string | null
          id: string | null
          name: string | null
          remaining: number | null
          reserved: number | null
          used: number | null
        }
        Relationships: []
      }
    }
    Functions: {
      admin_credentials: { Args: { p_actor: Json }; Returns: Json }
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
      apply_invoice: {
        Args: { p_event?: Json; p_invoice: Json }
        Returns: Json
      }
      apply_subscription: {
        Args: { p_event?: Json; p_state: Json; p_version?: number }
        Returns: Json
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
      begin_password_change: { Args: { p_caller: Json }; Returns: Json }
      begin_stripe_sync: { Args: { p_minutes: number }; Returns: boolean }
      begin_user_login: {
        Args: { p_address: string; p_email: string }
        Returns: Json
      }
      change_admin_password: {
        Args: { p_actor: Json; p_password_hash: string }
        Returns: number
      }
      change_password: {
        Args: {
          p_caller: Json
          p_password_hash: string
          p_verified_hash?: string
        }
        Returns: Json
      }
      changed_states: { Args: { p_listeners: Json }; Returns: Json }
      claim_estimated_generations: {
        Args: { p_limit: number }
        Returns: {
          id: string
          upstream_id: string
        }[]
      }
      confirm_user: { Args: { p_caller: Json }; Returns: boolean }
      correct_generation: {
        Args: { p_id: string; p_input_tokens: number; p_output_tokens: number }
        Returns: Json
      }
      create_api_key: {
        Args: {
          p_caller: Json
          p_expires_at?: string
          p_key_hash: string
          p_name: string
          p_prefix: string
        }
        Returns: Json
      }
      create_first_admin: {
        Args: { p_password_hash: string; p_username: string }
        Returns: boolean
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
      delete_account: { Args: { p_caller: Json }; Returns: Json }
      delete_api_key: { Args: { p_caller: Json; p_id: string }; Returns: Json }
      delete_device: {
        Args: { p_actor: Json; p_device_id: string }
        Returns: Json
      }
      delete_usage: { Args: { p_caller: Json; p_id: string }; Returns: Json }
      detach_stripe_customer: {
        Args: { p_caller: Json; p_customer_id: string }
        Returns: Json
      }
      end_session: {
        Args: { p_caller: Json; p_session_id: string }
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
      finish_admin_login: {
        Args: { p_address: string; p_username: string }
        Returns: boolean
      }
      finish_user_login: {
        Args: {
          p_address: string
          p_password_hash: string
          p_session: Json
          p_user_id: string
        }
        Returns: Json
      }
      get_budget: { Args: { p_actor: Json; p_kind: string }; Returns: Json }
      get_profile: { Args: { p_caller: Json }; Returns: Json }
      get_stripe_account: { Args: { p_caller: Json }; Returns: Json }
      grant_oauth_code: {
        Args: {
          p_code_challenge?: string
          p_code_hash: string
          p_default_tokens: number
          p_identity: Json
          p_redirect_uri: string
        }
        Returns: boolean
      }
      has_admin: { Args: Record<PropertyKey, never>; Returns: boolean }
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
          p_actor: Json
          p_before?: number
          p_limit: number
          p_target?: string
        }
        Returns: Json
      }
      list_model_costs: { Args: { p_actor: Json }; Returns: Json }
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
      log_in_externally: {
        Args: { p_default_tokens: number; p_identity: Json; p_session: Json }
        Returns: Json
      }
      log_out: { Args: { p_all: boolean; p_caller: Json }; Returns: Json }
      maintain: {
        Args: { p_monthly_tokens?: number; p_retention_months?: number }
        Returns: Json
      }
      manage_admin: {
        Args: {
          p_command: string
          p_password_hash?: string
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
      my_ledger: {
        Args: {
          p_after_at?: string
          p_after_id?: string
          p_after_kind?: string
          p_limit: number
        }
        Returns: Json
      }
      my_settings: { Args: Record<PropertyKey, never>; Returns: Json }
      my_settings_changes: { Args: { p_since: number }; Returns: Json }
      my_settings_history: { Args: Record<PropertyKey, never>; Returns: Json }
      my_subscription: { Args: Record<PropertyKey, never>; Returns: Json }
      my_tokens_used: { Args: { p_since: string }; Returns: number }
      own_subjects: { Args: Record<PropertyKey, never>; Returns: string[] }
      plan_of_tier: { Args: { p_tier: string }; Returns: Json }
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
      record_features: {
        Args: { p_items: Json; p_retention_months: number }
        Returns: Json
      }
      record_usage: {
        Args: { p_items: Json; p_retention_months: number }
        Returns: Json
      }
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
        }
        Returns: Json
      }
      register_user: {
        Args: {
          p_default_tokens: number
          p_email: string
          p_name?: string
          p_password_hash: string
          p_session: Json
        }
        Returns: Json
      }
      request_password_reset: {
        Args: { p_email: string; p_token_hash: string }
        Returns: Json
      }
      require_current_user: {
        Args: Record<PropertyKey, never>
        Returns: string
      }
      reset_monthly: {
        Args: { p_actor: Json; p_default_tokens: number; p_force?: boolean }
        Returns: Json
      }
      reset_password: {
        Args: { p_password_hash: string; p_token_hash: string }
        Returns: boolean
      }
      restore_settings: {
        Args: { p_caller: Json; p_device?: string; p_version: number }
        Returns: Json
      }
      schema_version: { Args: Record<PropertyKey, never>; Returns: string }
      set_budget: {
        Args: { p_actor: Json; p_kind: string; p_total?: number }
        Returns: Json
      }
      set_model_costs: { Args: { p_actor: Json; p_costs: Json }; Returns: Json }
      summarize_all_usage: {
        Args: {
          p_actor: Json
          p_from: string
          p_group_by: string[]
          p_time_zone: string
          p_to: string
          p_user_id?: string
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
          p_from: string
          p_group_by: string[]
          p_subjects?: string[]
          p_time_zone: string
          p_to: string
        }
        Returns: Json
      }
      swap_oauth_code: {
        Args: {
          p_code_challenge?: string
          p_code_hash: string
          p_redirect_uri?: string
          p_session: Json
        }
        Returns: Json
      }
      take_oauth_flow: {
        Args: { p_provider: string; p_state_hash: string }
        Returns: Json
      }
      tier_in_force: {
        Args: {
          p_subscription: Database["public"]["Tables"]["subscriptions"]["Row"]
        }
        Returns: string
      }
      track_usage: { Args: { p_items: Json }; Returns: Json }
      tracker_user: { Args: { p_email: string }; Returns: string }
      unlink_device: {
        Args: { p_caller: Json; p_device_id: string }
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
        Args: { p_caller: Json; p_changes: Json }
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
        Returns: {
          cost: number
          created_at: string
          device_id: string | null
          id: string
          input_tokens: number
          model: string
          occurred_at: string
          output_tokens: number
          period: number
          prompt_count: number
          provenance: string
          provider: string
          source: string
          subject_id: string
          total_tokens: number
          url: string | null
          user_id: string | null
        }[]
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
      user_of_google: {
        Args: { p_default_tokens: number; p_identity: Json }
        Returns: Json
      }
      verify_ledger: {
        Args: Record<PropertyKey, never>
        Returns: {
          checked: number
          discrepancies: Json
          name: string
          ok: boolean
        }[]
      }
      verify_ledger_as: { Args: { p_actor: Json }; Returns: Json }
    }
    Enums: {
      [_ in never]: never
    }
    CompositeTypes: {
      [_ in never]: never
    }
  }
}

type DatabaseWithoutInternals = Omit<Database, "__InternalSupabase">

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "public">]

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends (DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
        DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])
    : never) = never,
> = DefaultSchemaTableNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
      DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])[TableName] extends {
      Row: infer R
    }
    ? R
    : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] &
        DefaultSchema["Views"])
    ? (DefaultSchema["Tables"] &
        DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
        Row: infer R
      }
      ? R
      : never
    : never

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends (DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never) = never,
> = DefaultSchemaTableNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Insert: infer I
    }
    ? I
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
        Insert: infer I
      }
      ? I
      : never
    : never

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends (DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never) = never,
> = DefaultSchemaTableNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Update: infer U
    }
    ? U
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
        Update: infer U
      }
      ? U
      : never
    : never

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends (DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"]
    : never) = never,
> = DefaultSchemaEnumNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
    ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
    : never

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema["CompositeTypes"]
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends (PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"]
    : never) = never,
> = PublicCompositeTypeNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"][CompositeTypeName]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema["CompositeTypes"]
    ? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
    : never

export const Constants = {
  public: {
    Enums: {},
  },
} as const
