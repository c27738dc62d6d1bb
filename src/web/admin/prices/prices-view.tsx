import { View } from '../../foundation/components/view.js';
import { t } from '../../foundation/text/text.js';
import { CostsCard } from './costs-card.js';
import { WeightsCard } from './weights-card.js';

/** Shows and sets what a prompt costs and what a token of chat weighs, per model. */
export function PricesView() {
  return (
    <View title={t('admin.nav.prices')} lead={t('admin.prices.lead')}>
      <CostsCard />
      <WeightsCard />
    </View>
  );
}
