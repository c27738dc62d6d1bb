import type { Chat } from './chat/chat.js';
import type { Config } from './config.js';
import type { DatabaseClient } from './database/client.js';
import type { UserDatabase } from './database/user-database.js';
import type { KeyHolders } from './identity/key-holders.js';
import type { DeviceMeter } from './metering/device-meter.js';
import type { FeatureRecorder } from './metering/feature-recorder.js';
import type { TrackerMeter } from './metering/tracker-meter.js';
import type { UsageRecorder } from './metering/usage-recorder.js';
import type { GoogleAccessTokens } from './oauth/google-access-token.js';
import type { SignInProviders } from './oauth/providers.js';
import type { ChangeFeed } from './settings/change-feed.js';
import type { Payments } from './subscriptions/payments.js';

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
