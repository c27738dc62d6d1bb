import type { KeyHolders } from './auth/api-keys/api-key-owners.js';
import type { GoogleAccessTokens } from './auth/oauth/google-access-token.js';
import type { SignInProviders } from './auth/oauth/providers.js';
import type { Config } from './config/config.js';
import type { Chat } from './features/chat/chat.js';
import type { DeviceMeter } from './features/devices/device-meter.js';
import type { FeatureRecorder } from './features/events/event-recorder.js';
import type { ChangeFeed } from './features/settings/change-feed.js';
import type { Payments } from './features/subscriptions/payments.js';
import type { TrackerMeter } from './features/tracker/tracker-meter.js';
import type { UsageRecorder } from './features/usage/usage-recorder.js';
import type { DatabaseClient } from './platform/database/client/client.js';
import type { UserDatabase } from './platform/database/client/user-database.js';

/** What the routes of every capability are given. */
export interface Services {
  readonly config: Config;
  /** The database as the server itself: for decisions SQL functions make. */
  readonly database: DatabaseClient;
  /** The database as the person who asks: for reading what is theirs. */
  readonly userDatabase: UserDatabase;
  /** Whose an API key is. */
  readonly keyHolders: KeyHolders;
  /** The server's secret, to derive keys from; see `deriveKey`. */
  readonly secret: string;
  /** Whether Postgres came with the server, so that it may stand in for what is not set up. */
  readonly embedded: boolean;
  readonly deviceMeter: DeviceMeter;
  readonly usageRecorder: UsageRecorder;
  readonly featureRecorder: FeatureRecorder;
  readonly trackerMeter: TrackerMeter;
  /** Undefined where no upstream is set up. */
  readonly chat: Chat | undefined;
  /** Who is listening for changes of what is theirs. */
  readonly changeFeed: ChangeFeed;
  readonly signInProviders: SignInProviders;
  readonly googleAccessTokens: GoogleAccessTokens;
  /** Stripe; undefined where the configuration has no keys for it. */
  readonly payments: Payments | undefined;
}
