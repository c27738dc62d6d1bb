import { useState } from 'preact/hooks';
import { Button } from '../../foundation/components/button.js';
import { ConfirmByTyping } from '../../foundation/components/dialog.js';
import { Failure } from '../../foundation/components/notice.js';
import { announce } from '../../foundation/components/toasts.js';
import { Card } from '../../foundation/components/view.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { api, forgetSession } from '../../foundation/session/person-session.js';
import { t } from '../../foundation/text/text.js';
import { leaving } from '../leaving.js';
import { saveFile } from '../save-file.js';
import type { Profile } from './profile.js';
import { useProof } from './use-proof.js';

/** Saves everything that is held about the person, and deletes the account. */
export function DataCard({ profile }: { readonly profile: Profile }) {
  const [deleting, setDeleting] = useState(false);
  const proof = useProof(profile.has_password, profile.second_factor);
  const save = useAction(async () => {
    await saveFile('users/me/export', {}, 'tokenledger-export.json');
    announce(t('profile.exported'));
  });
  const remove = useAction(async () => {
    await proof.guard(() => api.delete('users/me'));
    leaving.value = 'deleted';
    forgetSession();
  });
  return (
    <Card title={t('profile.data')} lead={t('profile.dataLead')}>
      <div class="stack">
        <Failure failure={save.failure} />
        <div class="actions">
          <Button busy={save.busy} onClick={() => void save.run()}>
            {t('profile.export')}
          </Button>
          <Button kind="danger" onClick={() => setDeleting(true)}>
            {t('profile.delete')}
          </Button>
        </div>
      </div>
      {deleting && (
        <ConfirmByTyping
          title={t('profile.deleteTitle')}
          word={profile.email}
          action={remove}
          submit={t('profile.delete')}
          onClose={() => setDeleting(false)}
        >
          <p>{t('profile.deleteQuestion')}</p>
        </ConfirmByTyping>
      )}
      {proof.dialog}
    </Card>
  );
}
