import { useState } from 'preact/hooks';
import { Segments, Select } from '../../foundation/components/choice.js';
import { Field } from '../../foundation/components/field.js';
import { setQuery } from '../../foundation/router/router.js';
import { t } from '../../foundation/text/text.js';
import { GROUPS, MEASURES, SPANS, type UsageQuery } from './usage-query.js';

const DAY = /^\d{4}-\d{2}-\d{2}$/;

function OwnRange({ from, to }: Pick<UsageQuery, 'from' | 'to'>) {
  const [first, setFirst] = useState(from);
  const [last, setLast] = useState(to);
  const tell = (range: { from: string; to: string }) => {
    if (DAY.test(range.from) && DAY.test(range.to) && range.from <= range.to) setQuery(range);
  };
  return (
    <>
      <Field
        type="date"
        label={t('admin.usage.from')}
        value={first}
        max={last}
        onValue={(value) => {
          setFirst(value);
          tell({ from: value, to: last });
        }}
      />
      <Field
        type="date"
        label={t('admin.usage.to')}
        value={last}
        min={first}
        onValue={(value) => {
          setLast(value);
          tell({ from: first, to: value });
        }}
      />
    </>
  );
}

/** Shows which days are shown, what is counted, and what it is divided by. */
export function UsageToolbar({ query }: { readonly query: UsageQuery }) {
  const { span, by, measure, from, to } = query;
  return (
    <div class="toolbar">
      <Segments
        legend={t('admin.usage.span')}
        value={span}
        options={[
          ...SPANS.map((value) => ({ value, label: t(`admin.usage.spans.${value}`) })),
          { value: 'own' as const, label: t('admin.usage.spans.own') },
        ]}
        onValue={(next) => setQuery(next === 'own' ? { span: next, from, to } : { span: next, from: '', to: '' })}
      />
      {span === 'own' && <OwnRange from={from} to={to} />}
      <Select
        label={t('admin.usage.measure')}
        value={measure}
        options={MEASURES.map((value) => ({ value, label: t(`admin.usage.measures.${value}`) }))}
        onValue={(next) => setQuery({ measure: next })}
      />
      <Select
        label={t('admin.usage.group')}
        value={by}
        options={GROUPS.map((value) => ({ value, label: t(`admin.usage.by.${value}`) }))}
        onValue={(next) => setQuery({ by: next })}
      />
    </div>
  );
}
