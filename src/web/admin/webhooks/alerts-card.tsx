import { useState } from 'preact/hooks';
import { Button } from '../../foundation/components/button.js';
import { Facts } from '../../foundation/components/facts.js';
import { Loads } from '../../foundation/components/loads.js';
import { Card } from '../../foundation/components/view.js';
import { formatShare } from '../../foundation/format.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { t } from '../../foundation/text/text.js';
import { api, mayAct } from '../session.js';
import { OffNotice } from '../settings/off-notice.js';
import { type Alerts, WHOSE } from './alerts.js';
import { AlertsDialog } from './alerts-dialog.js';

const write = (thresholds: readonly number[]) =>
  thresholds.length === 0
    ? t('admin.never')
    : thresholds
        .toSorted((a, b) => a - b)
        .map((threshold) => formatShare(threshold, 100))
        .join(', ');

/** Shows at which thresholds is warned, and who. */
export function AlertsCard() {
  const loaded = useLoad((signal) => api.get<Alerts>('admin/alerts', {}, signal), []);
  const [changing, setChanging] = useState<Alerts | undefined>();
  const alerts = loaded.data;
  return (
    <Card
      title={t('admin.alerts.title')}
      lead={t('admin.alerts.lead')}
      actions={
        mayAct.value &&
        alerts !== undefined && (
          <Button label={t('admin.alerts.change')} onClick={() => setChanging(alerts)}>
            {t('admin.list.change')}
          </Button>
        )
      }
    >
      <div class="stack">
        <OffNotice name="mail" />
        <Loads from={loaded}>
          {(read) => (
            <Facts
              facts={[
                ...WHOSE.map((whose) => [t(`admin.alerts.of.${whose}`), write(read[`${whose}_thresholds`])] as const),
                [t('admin.alerts.mailPeople'), t(read.mail_people ? 'admin.alerts.yes' : 'admin.alerts.no')],
                [
                  t('admin.alerts.mailTo'),
                  read.mail_to.length === 0 ? t('admin.devices.nobody') : read.mail_to.join(', '),
                ],
              ]}
            />
          )}
        </Loads>
      </div>
      {changing !== undefined && (
        <AlertsDialog alerts={changing} onDone={loaded.change} onClose={() => setChanging(undefined)} />
      )}
    </Card>
  );
}
