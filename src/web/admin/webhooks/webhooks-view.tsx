import { View } from '../../foundation/components/view.js';
import { t } from '../../foundation/text/text.js';
import { AlertsCard } from './alerts-card.js';
import { EndpointsCard } from './endpoints-card.js';
import { RecentAlerts } from './recent-alerts.js';

/** Shows who is warned before tokens run out, and which events go where. */
export function WebhooksView() {
  return (
    <View title={t('admin.nav.webhooks')} lead={t('admin.webhooks.lead')}>
      <RecentAlerts limit={20} />
      <AlertsCard />
      <EndpointsCard />
    </View>
  );
}
