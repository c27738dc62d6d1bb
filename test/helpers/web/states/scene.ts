import type { Page } from 'playwright-core';
import type { TestUser } from '../../accounts.js';
import type { SmtpServer } from '../../fakes/smtp-server.js';
import type { StripeServer } from '../../fakes/stripe-server.js';
import type { TestServer } from '../../http/test-server.js';

/** What states are made of. */
export interface Scene {
  readonly page: Page;
  readonly url: string;
  /** Servers of the same database that let in nobody new, who was invited, and who proves an address. */
  readonly closedUrl: string;
  readonly inviteUrl: string;
  readonly verifiedUrl: string;
  readonly server: TestServer;
  readonly smtp: SmtpServer;
  readonly stripe: StripeServer;
  /** Somebody who has something in every view. */
  readonly user: TestUser;
}

/** Makes a page show something beyond what it begins with, in whatever language and size it is. */
export type State = (scene: Scene) => Promise<void>;

/** Waits until a field is shown to be wrong. */
export const wrongField = (page: Page) => page.locator('[aria-invalid=true]').first().waitFor();
/** A password that is good enough. */
export const PASSWORD = 'a horse of another colour';
