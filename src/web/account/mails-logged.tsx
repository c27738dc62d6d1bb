import { Notice } from '../foundation/components/notice.js';
import { t } from '../foundation/text/text.js';
import { useSignInOptions } from './options.js';

/** Says where mails are that nobody sends, on a server without a mail server; elsewhere nothing. */
export function MailsLogged() {
  const { data } = useSignInOptions();
  if (data?.mails_logged !== true) return null;
  return (
    <Notice>
      <p>{t('account.mailsLogged')}</p>
    </Notice>
  );
}
