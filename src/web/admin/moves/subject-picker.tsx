import { useId, useState } from 'preact/hooks';
import { Loads } from '../../foundation/components/loads.js';
import { Empty } from '../../foundation/components/notice.js';
import { formatCount } from '../../foundation/format.js';
import { useLoad } from '../../foundation/hooks/use-load.js';
import { t } from '../../foundation/text/text.js';
import { SearchField } from '../list/search-field.js';
import type { Subject } from './balance.js';
import { findSubjects } from './find-subjects.js';

/** Lets somebody choose another balance of the same kind. */
export function SubjectPicker({
  subject,
  chosen,
  error,
  onChoose,
}: {
  /** Whose counterpart is looked for. */
  readonly subject: Subject;
  readonly chosen: Subject | undefined;
  readonly error: string | undefined;
  readonly onChoose: (chosen: Subject) => void;
}) {
  const [q, setQ] = useState('');
  const name = useId();
  const found = useLoad((signal) => findSubjects(subject.kind, q, signal), [q, subject.kind]);
  return (
    <fieldset class="picker">
      <legend>{t('admin.moves.target')}</legend>
      <SearchField label={t('admin.list.search')} value={q} onSearch={setQ} />
      <Loads from={found}>
        {(subjects) => {
          const others = subjects.filter(({ id }) => id !== subject.id);
          if (others.length === 0) return <Empty title={t('admin.list.none')} />;
          return (
            <div class="options">
              {others.map((other) => (
                <label key={other.id} class="option">
                  <input
                    type="radio"
                    name={name}
                    checked={other.id === chosen?.id}
                    onChange={() => onChoose(other)}
                    aria-invalid={error !== undefined}
                  />
                  <span>{other.name}</span>
                  <span class="quiet number">{t('admin.moves.hasLeft', { tokens: formatCount(other.remaining) })}</span>
                </label>
              ))}
            </div>
          );
        }}
      </Loads>
      {error !== undefined && <p class="error">{error}</p>}
    </fieldset>
  );
}
