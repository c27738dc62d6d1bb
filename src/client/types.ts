/*
 * The bodies of requests and answers that this client uses, as the server's OpenAPI document has them. Written by hand, as
 * the document is made by a running server; a test holds them against it.
 */

export interface RegisterDeviceBody {
  readonly device_name: string;
  readonly hardware_fingerprint: string;
  readonly device_secret: string;
  readonly device_token?: string;
  readonly enrollment_key?: string;
}

export interface RegisteredDevice {
  readonly device_id: string;
  readonly device_token: string;
  /** Tokens granted to the device. */
  readonly allocation: number;
  /** Tokens it can still use. */
  readonly remaining: number;
  /** True where the device belongs to the person who is signed in. */
  readonly linked?: boolean;
}

export interface DeviceBalance {
  readonly allocated: number;
  readonly used: number;
  /** Tokens set aside by holds. */
  readonly reserved: number;
  readonly remaining: number;
  readonly can_use_tokens: boolean;
}

/** What is to be used. */
export interface Use {
  readonly model_type: string;
  /** Prompts it counts for; 1 unless told otherwise. */
  readonly prompt_count?: number;
}

export interface CheckBody extends Use {
  readonly reserve?: boolean;
}

export interface CheckedUse {
  readonly can_use: boolean;
  readonly tokens_needed: number;
  /** Tokens left, not counting those set aside. */
  readonly remaining: number;
  /** The hold, to be sent when the use is logged. */
  readonly reservation_id?: string;
  /** When the hold expires (ISO 8601). */
  readonly expires_at?: string;
}

/** A use that was made. */
export interface UseToLog extends Use {
  readonly reservation_id?: string;
  /** Its idempotency key; made up where there is none. */
  readonly event_id?: string;
}

export interface LoggedUsage {
  /** Tokens this use cost. */
  readonly tokens_used: number;
  readonly remaining: number;
  /** The server's id of the event. */
  readonly event_id: string;
}

export interface User {
  readonly id: string;
  readonly email: string;
  readonly name: string | null;
  readonly picture: string | null;
  readonly tokens_left: number;
  readonly tokens_used: number;
  readonly total_tokens: number;
}

export interface SignedIn {
  readonly token: string;
  readonly refresh_token: string;
  /** Seconds until the access token expires. */
  readonly expires_in: number;
  readonly user: User;
}

export interface SignUpBody {
  readonly email: string;
  readonly password: string;
  readonly name?: string;
  readonly invitation?: string;
}

export interface ChatTextPart {
  readonly type: 'text';
  readonly text: string;
}
export interface ChatImagePart {
  readonly type: 'image_url';
  readonly image_url: { readonly url: string; readonly detail?: 'auto' | 'low' | 'high' };
}
export interface ChatMessage {
  readonly role: 'user' | 'assistant' | 'system';
  readonly content: string | (ChatTextPart | ChatImagePart)[];
}

/** A request of `POST /chat/stream`. */
export interface ChatBody {
  readonly messages: ChatMessage[];
  readonly model?: string;
  readonly temperature?: number;
  readonly max_tokens?: number;
  /** A Google access token, for extensions that sign people in there themselves. */
  readonly access_token?: string;
}

/** Any JSON. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A change to one setting; `updated_at` in milliseconds since 1970. */
export type SettingChange =
  | { readonly value: Json; readonly updated_at: number }
  | { readonly deleted: true; readonly updated_at: number };

/** What a setting is now; `deleted` where it is gone. */
export interface StandingSetting {
  readonly value?: Json;
  readonly deleted?: true;
  readonly updated_at: number;
  readonly device: string | null;
  readonly version: number;
}

export interface PushBody {
  readonly device: string;
  readonly base_version: number;
  readonly changes: Record<string, SettingChange>;
}

export interface PushedSettings {
  readonly settings: Readonly<Record<string, Json>>;
  readonly version: number;
  /** Changes that lost against newer ones, with what stands instead. */
  readonly overruled: Readonly<Record<string, StandingSetting>>;
}

export interface PulledSettings {
  readonly version: number;
  /** Whether `changes` has every setting there is. */
  readonly full: boolean;
  readonly changes: Readonly<Record<string, StandingSetting>>;
}
