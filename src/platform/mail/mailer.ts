/** What a mail says, composed. */
export interface MailBody {
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

/** A mail to one person; the sender is the configuration's. */
export interface MailMessage extends MailBody {
  /** Names the mail, the same at every attempt. */
  readonly id: string;
  /** One bare address. */
  readonly to: string;
}

/** Delivers mail. */
export interface Mailer {
  /**
   * Delivers one message, once.
   * @param signal ends the attempt
   * @throws {MailFailure} or another error, which may quote the address: it is not to be logged as it is
   */
  readonly send: (message: MailMessage, signal: AbortSignal) => Promise<void>;
}
