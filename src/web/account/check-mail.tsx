import { sendOpenly } from '../foundation/api/api.js';
import { Button } from '../foundation/components/button.js';
import { Failure } from '../foundation/components/notice.js';
import { announce } from '../foundation/components/toasts.js';
import { useAction } from '../foundation/hooks/use-action.js';
import { t } from '../foundation/text/text.js';
import { MailsLogged } from './mails-logged.js';

/** Says that a link was mailed which proves the address, and mails another one. */
export function CheckMail({
  email,
  lead = t('account.checkMail', { email }),
}: {
  readonly email: string;
  readonly lead?: string;
}) {
  const again = useAction(async () => {
    await sendOpenly('auth/verify-email/resend', { email });
    announce(t('account.linkMailed'));
  });
  return (
    <div class="stack">
      <p>{lead}</p>
      <MailsLogged />
      <Failure failure={again.failure} />
      <div class="actions">
        <Button busy={again.busy} onClick={() => void again.run()}>
          {t('account.mailAgain')}
        </Button>
      </div>
    </div>
  );
}
