import { useState } from 'preact/hooks';
import { Button } from '../../foundation/components/button.js';
import { Dialog } from '../../foundation/components/dialog.js';
import { Form } from '../../foundation/components/form.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { t } from '../../foundation/text/text.js';
import type { ListQuery } from '../list/list-query.js';
import { SelectionBar } from '../list/selection-bar.js';
import type { Selection } from '../list/use-selection.js';
import { ActField, FIRST_VALUES, isFilled, toActRequest } from './act-field.js';
import type { BulkAct, BulkKind } from './bulk-act.js';
import { MatchingChange } from './matching-change.js';
import { SelectedChange } from './selected-change.js';

interface BulkProps<Name extends string> {
  readonly kind: BulkKind;
  readonly acts: readonly BulkAct<Name>[];
  readonly toLabel: (name: Name) => string;
  readonly toTitle: (name: Name) => string;
  readonly query: ListQuery;
  /** How many match the query. */
  readonly count: number;
  readonly selection: Selection;
  readonly onDone: () => void;
}

/** Asks for what an act needs, shows what would come of it, does it, and shows what it did. */
function BulkDialog<Name extends string>({
  act,
  onClose,
  ...props
}: BulkProps<Name> & { readonly act: BulkAct<Name>; readonly onClose: () => void }) {
  const { kind, toTitle, query, selection, onDone } = props;
  const [values, setValues] = useState(FIRST_VALUES);
  const [checked, setChecked] = useState(false);
  const [isAsked, setAsked] = useState(act.field === undefined);
  // The selection is gone once it is done.
  const [isAll] = useState(selection.isAll);
  const ask = useAction(async () => setAsked(true));
  const change = { kind, request: toActRequest(act, values), moves: act.moves === true, onClose };
  return (
    <Dialog title={toTitle(act.name)} onClose={onClose}>
      {!isAsked ? (
        <Form
          action={ask}
          submit={t('admin.bulk.preview')}
          check={() => {
            setChecked(true);
            return isFilled(act, values);
          }}
          more={<Button onClick={onClose}>{t('common.cancel')}</Button>}
        >
          <ActField act={act} values={values} checked={checked} onValues={setValues} />
        </Form>
      ) : isAll ? (
        <MatchingChange query={query} {...change} />
      ) : (
        <SelectedChange ids={[...selection.ids]} onDone={onDone} {...change} />
      )}
    </Dialog>
  );
}

/** Shows what can be done with all that are selected, and does it. */
export function Bulk<Name extends string>(props: BulkProps<Name>) {
  const { acts, toLabel, selection, count } = props;
  const [act, setAct] = useState<BulkAct<Name> | undefined>();
  return (
    <>
      <SelectionBar selection={selection} count={count}>
        {acts.map((one) => (
          <Button key={one.name} kind={one.isDangerous === true ? 'danger' : 'plain'} onClick={() => setAct(one)}>
            {toLabel(one.name)}
          </Button>
        ))}
      </SelectionBar>
      {act !== undefined && <BulkDialog {...props} act={act} onClose={() => setAct(undefined)} />}
    </>
  );
}
