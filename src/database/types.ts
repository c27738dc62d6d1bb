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
      balances: {
        Row: {
          allocated: number
          period: number
          reserved: number
          subject_id: string
          subject_kind: string
          updated_at: string
          used: number
        }
        Insert: {
          allocated?: number
          period?: number
          reserved?: number
          subject_id: string
          subject_kind: string
          updated_at?: string
          used?: number
        }
        Update: {
          allocated?: number
          period?: number
          reserved?: number
          subject_id?: string
          subject_kind?: string
          updated_at?: string
          used?: number
        }
        Relationships: []
      }
      bench_items: {
        Row: {
          j: Json | null
        }
        Insert: {
          j?: Json | null
        }
        Update: {
          j?: Json | null
        }
        Relationships: []
      }
      devices: {
        Row: {
          blocked: boolean
          created_at: string
          fingerprint_hash: string
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
          fingerprint_hash: string
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
          fingerprint_hash?: string
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
            referencedRelation: "users"
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
      users: {
        Row: {
          created_at: string
          email: string
          id: string
          name: string | null
          picture: string | null
          updated_at: string
        }
        Insert: {
          created_at?: string
          email: string
          id?: string
          name?: string | null
          picture?: string | null
          updated_at?: string
        }
        Update: {
          created_at?: string
          email?: string
          id?: string
          name?: string | null
          picture?: string | null
          updated_at?: string
        }
        Relationships: []
      }
    }
    Views: {
      [_ in never]: never
    }
    Functions: {
      create_first_admin: {
        Args: { p_password_hash: string; p_username: string }
        Returns: boolean
      }
      has_admin: { Args: Record<PropertyKey, never>; Returns: boolean }
      maintain: { Args: Record<PropertyKey, never>; Returns: Json }
      meter_devices: { Args: { p_items: Json }; Returns: Json }
      register_device: {
        Args: {
          p_default_tokens: number
          p_device_name: string
          p_fingerprint: string
        }
        Returns: Json
      }
      schema_version: { Args: Record<PropertyKey, never>; Returns: string }
      verify_ledger: {
        Args: Record<PropertyKey, never>
        Returns: {
          checked: number
          discrepancies: Json
          name: string
          ok: boolean
        }[]
      }
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
