import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { CreatedInvitationSchema } from '../../../features/admin/invitations/invitation-schemas.js';
import { Button } from '../../foundation/components/button.js';
import { CopyOnce } from '../../foundation/components/copy-once.js';
import { Dialog } from '../../foundation/components/dialog.js';
import { EmailField, Field } from '../../foundation/components/field.js';
import { Form } from '../../foundation/components/form.js';
import { Notice } from '../../foundation/components/notice.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { t } from '../../foundation/text/text.js';
import { TokensField } from '../list/tokens-field.js';
import { parseTokens } from '../parse-tokens.js';
import { api } from '../session.js';

type Created = Static<typeof CreatedInvitationSchema>;
const MOST_DAYS = 365;

/** Invites somebody, and shows the link this once. */
export function InviteDialog({
  isMailOff,
  onDone,
  onClose,
}: {
  /** Whether nobody is sent the link, whatever becomes of the mail. */
  readonly isMailOff: boolean;
  readonly onDone: () => void;
  readonly onClose: () => void;
}) {
  const [email, setEmail] = useState('');
  const [tokens, setTokens] = useState('');
  const [days, setDays] = useState('7');
  const [checked, setChecked] = useState(false);
  const [created, setCreated] = useState<Created | undefined>();
  const [amount, lasting] = [parseTokens(tokens, 1), parseTokens(days, 1)];
  const isAmount = tokens.trim() === '' || amount !== undefined;
  const isLasting = lasting !== undefined && lasting <= MOST_DAYS;
  const isEmail = email.trim() === '' || email.includes('@');
  const action = useAction(async () => {
    const body = {
      expires_in_days: lasting,
      ...(email.trim() !== '' && { email: email.trim() }),
      ...(amount !== undefined && { tokens: amount }),
    };
    setCreated(await api.post<Created>('admin/invitations', body));
    onDone();
  });
  return (
    <Dialog title={t('admin.invitations.invite')} onClose={onClose}>
      {created === undefined ? (
        <Form
          action={action}
          submit={t('admin.invitations.create')}
          check={() => {
            setChecked(true);
            return isAmount && isLasting && isEmail;
          }}
          more={<Button onClick={onClose}>{t('common.cancel')}</Button>}
        >
          <EmailField
            label={t('admin.people.email')}
            hint={t('admin.invitations.emailHint')}
            value={email}
            onValue={setEmail}
            error={checked && !isEmail ? t('admin.people.emailWrong') : undefined}
            autocomplete="off"
          />
          <TokensField
            label={t('admin.moves.tokens')}
            hint={t('admin.invitations.tokensHint')}
            value={tokens}
            onValue={setTokens}
            isValid={isAmount}
            checked={checked}
          />
          <Field
            label={t('admin.invitations.days')}
            value={days}
            onValue={setDays}
            error={checked && !isLasting ? t('admin.invitations.daysWrong') : undefined}
            inputmode="numeric"
            autocomplete="off"
          />
        </Form>
      ) : (
        <>
          <Notice tone="good" urgent>
            <p>{t(created.mailed && !isMailOff ? 'admin.invitations.mailed' : 'admin.invitations.made')}</p>
          </Notice>
          <CopyOnce label={t('admin.invitations.link')} secret={created.link} />
          <div class="actions">
            <Button onClick={onClose}>{t('common.close')}</Button>
          </div>
        </>
      )}
    </Dialog>
  );
}
