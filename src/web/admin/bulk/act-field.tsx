import { Checkbox, Select } from '../../foundation/components/choice.js';
import { t } from '../../foundation/text/text.js';
import { TokensField } from '../list/tokens-field.js';
import { parseTokens } from '../parse-tokens.js';
import { TIERS } from '../plans/tiers.js';
import type { ActRequest, ActValues, BulkAct } from './bulk-act.js';

/** What an act begins with. */
export const FIRST_VALUES: ActValues = { tokens: '', tier: 'pro', api_keys: false };

const readTokens = (typed: string) => parseTokens(typed, Number.MIN_SAFE_INTEGER);

/** Whether what an act needs was filled in. */
export function isFilled({ field }: BulkAct, { tokens }: ActValues): boolean {
  return field !== 'tokens' || ![undefined, 0].includes(readTokens(tokens));
}

/** Returns what is asked of the server for each. */
export function toActRequest({ name, field }: BulkAct, values: ActValues): ActRequest {
  if (field === undefined) return { action: name };
  return { action: name, [field]: field === 'tokens' ? readTokens(values.tokens) : values[field] };
}

/** Shows the field of an act. @param checked whether a wrong value is said to be wrong */
export function ActField({
  act,
  values,
  checked,
  onValues,
}: {
  readonly act: BulkAct;
  readonly values: ActValues;
  readonly checked: boolean;
  readonly onValues: (values: ActValues) => void;
}) {
  if (act.field === 'tokens') {
    return (
      <TokensField
        label={t('admin.bulk.tokens')}
        hint={t('admin.bulk.tokensHint')}
        value={values.tokens}
        isValid={isFilled(act, values)}
        checked={checked}
        onValue={(tokens) => onValues({ ...values, tokens })}
      />
    );
  }
  if (act.field === 'tier') {
    return (
      <Select
        label={t('admin.people.plan')}
        hint={t('admin.people.planHint')}
        value={values.tier}
        options={TIERS.map((value) => ({ value, label: t(`admin.plans.tiers.${value}`) }))}
        onValue={(tier) => onValues({ ...values, tier })}
      />
    );
  }
  return (
    <Checkbox
      label={t('admin.people.endKeys')}
      checked={values.api_keys}
      onChecked={(api_keys) => onValues({ ...values, api_keys })}
    />
  );
}
