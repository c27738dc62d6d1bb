import { useState } from 'preact/hooks';
import { Button } from '../../foundation/components/button.js';
import { Segments } from '../../foundation/components/choice.js';
import { Dialog } from '../../foundation/components/dialog.js';
import { Field } from '../../foundation/components/field.js';
import { Form } from '../../foundation/components/form.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { t } from '../../foundation/text/text.js';
import { newKey } from '../new-key.js';
import { parseTokens } from '../parse-tokens.js';
import { api } from '../session.js';
import { type Moved, type Subject, toIdField } from './balance.js';
import { BeforeAfter } from './before-after.js';
import { MovedResult } from './moved-result.js';
import { SubjectPicker } from './subject-picker.js';

const WAYS = ['give', 'take', 'transfer'] as const;
type Way = (typeof WAYS)[number];

/** Returns what the API is asked for. */
function toRequest(way: Way, subject: Subject, tokens: number, target: Subject | undefined) {
  const field = toIdField(subject.kind);
  if (way !== 'transfer') return { [field]: subject.id, tokens: way === 'give' ? tokens : -tokens };
  return { [field]: target?.id, [`from_${field}`]: subject.id, tokens };
}

/** Gives tokens to a balance, takes unused ones back, or moves them to another, and shows what that did. */
export function MoveDialog({
  subject,
  onMoved,
  onClose,
}: {
  readonly subject: Subject;
  /** Something was moved, or undone. */
  readonly onMoved: () => void;
  readonly onClose: () => void;
}) {
  const [way, setWay] = useState<Way>('give');
  const [typed, setTyped] = useState('');
  const [target, setTarget] = useState<Subject | undefined>();
  const [checked, setChecked] = useState(false);
  const [moved, setMoved] = useState<Moved | undefined>();
  // The same for every attempt, so that one whose answer was lost has its effect once.
  const [key, setKey] = useState(newKey);
  const tokens = parseTokens(typed, 1);
  const action = useAction(async () => {
    const headers = { 'idempotency-key': key };
    setMoved(await api.post<Moved>('admin/allocate', toRequest(way, subject, tokens ?? 0, target), headers));
    onMoved();
  });
  const renew = <Value,>(set: (value: Value) => void) => {
    return (value: Value) => {
      set(value);
      setKey(newKey());
      action.clear();
    };
  };
  const lacksTarget = way === 'transfer' && target === undefined;
  const check = () => {
    setChecked(true);
    return tokens !== undefined && !lacksTarget;
  };
  const change = way === 'give' ? (tokens ?? 0) : -(tokens ?? 0);
  const changes = [
    { name: subject.name, before: subject.remaining, after: subject.remaining + change },
    ...(way === 'transfer' && target !== undefined
      ? [{ name: target.name, before: target.remaining, after: target.remaining - change }]
      : []),
  ];
  return (
    <Dialog title={t('admin.moves.title', { name: subject.name })} onClose={onClose}>
      {moved === undefined ? (
        <Form
          action={action}
          submit={t(`admin.moves.submit.${way}`)}
          check={check}
          more={<Button onClick={onClose}>{t('common.cancel')}</Button>}
        >
          <Segments
            legend={t('admin.moves.way')}
            value={way}
            options={WAYS.map((value) => ({ value, label: t(`admin.moves.ways.${value}`) }))}
            onValue={renew(setWay)}
          />
          <Field
            label={t('admin.moves.tokens')}
            hint={t(`admin.moves.hints.${way}`)}
            value={typed}
            onValue={renew(setTyped)}
            error={checked && tokens === undefined ? t('admin.moves.tokensWrong') : undefined}
            inputmode="numeric"
            autocomplete="off"
          />
          {way === 'transfer' && (
            <SubjectPicker
              subject={subject}
              chosen={target}
              error={checked && lacksTarget ? t('admin.moves.targetMissing') : undefined}
              onChoose={renew(setTarget)}
            />
          )}
          <BeforeAfter caption={t('admin.moves.wouldBeLeft')} changes={changes} />
        </Form>
      ) : (
        <MovedResult
          moved={moved}
          subject={subject}
          other={target}
          onUndone={() => {
            onMoved();
            onClose();
          }}
          onClose={onClose}
        />
      )}
    </Dialog>
  );
}
