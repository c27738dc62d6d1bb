import type { Static } from '@sinclair/typebox';
import { useState } from 'preact/hooks';
import type { CreatedWebhookSchema } from '../../../features/webhooks/schemas.js';
import { Button } from '../../foundation/components/button.js';
import { Checkbox } from '../../foundation/components/choice.js';
import { CopyOnce } from '../../foundation/components/copy-once.js';
import { Dialog, FormDialog } from '../../foundation/components/dialog.js';
import { Field } from '../../foundation/components/field.js';
import { Notice } from '../../foundation/components/notice.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { t } from '../../foundation/text/text.js';
import { api } from '../session.js';

type Created = Static<typeof CreatedWebhookSchema>;

/** What can happen, as the API and as the texts name it. */
const EVENTS = [
  ['balance.threshold', 'balance_threshold'],
  ['balance.exhausted', 'balance_exhausted'],
  ['device.registered', 'device_registered'],
  ['device.blocked', 'device_blocked'],
  ['subscription.changed', 'subscription_changed'],
  ['period.reset', 'period_reset'],
  ['ledger.discrepancy', 'ledger_discrepancy'],
] as const;

/** Adds an address that events are sent to, and shows its secret this once. */
export function EndpointDialog({ onDone, onClose }: { readonly onDone: () => void; readonly onClose: () => void }) {
  const [url, setUrl] = useState('');
  const [description, setDescription] = useState('');
  const [events, setEvents] = useState<ReadonlySet<string>>(new Set(EVENTS.map(([event]) => event)));
  const [checked, setChecked] = useState(false);
  const [created, setCreated] = useState<Created | undefined>();
  const isUrl = URL.canParse(url.trim());
  const choose = (event: string, isChosen: boolean) => {
    const next = new Set(events);
    if (isChosen) next.add(event);
    else next.delete(event);
    setEvents(next);
  };
  const action = useAction(async () => {
    const about = description.trim() === '' ? {} : { description: description.trim() };
    setCreated(await api.post<Created>('admin/webhooks', { url: url.trim(), events: [...events], ...about }));
    onDone();
  });
  if (created !== undefined) {
    return (
      <Dialog title={t('admin.webhooks.add')} onClose={onClose}>
        <Notice tone="good" urgent>
          <p>{t('admin.webhooks.made')}</p>
        </Notice>
        <CopyOnce label={t('admin.webhooks.secret')} secret={created.secret} />
        <div class="actions">
          <Button onClick={onClose}>{t('common.close')}</Button>
        </div>
      </Dialog>
    );
  }
  return (
    <FormDialog
      title={t('admin.webhooks.add')}
      onClose={onClose}
      action={action}
      submit={t('admin.webhooks.addSubmit')}
      check={() => {
        setChecked(true);
        return isUrl && events.size > 0;
      }}
    >
      <Field
        type="url"
        label={t('admin.webhooks.url')}
        hint={t('admin.webhooks.urlHint')}
        value={url}
        onValue={setUrl}
        error={checked && !isUrl ? t('admin.webhooks.urlWrong') : undefined}
        autocomplete="off"
        spellcheck={false}
      />
      <Field
        label={t('admin.weights.comment')}
        value={description}
        onValue={setDescription}
        maxLength={200}
        autocomplete="off"
      />
      <fieldset class="picker">
        <legend>{t('admin.webhooks.events')}</legend>
        {EVENTS.map(([event, name]) => (
          <Checkbox
            key={event}
            label={t(`admin.webhooks.names.${name}`)}
            checked={events.has(event)}
            onChecked={(on) => choose(event, on)}
          />
        ))}
        {checked && events.size === 0 && <p class="error">{t('admin.webhooks.eventsMissing')}</p>}
      </fieldset>
    </FormDialog>
  );
}
