import { useState } from 'preact/hooks';
import { FormDialog } from '../../foundation/components/dialog.js';
import { Field } from '../../foundation/components/field.js';
import { announce } from '../../foundation/components/toasts.js';
import { useAction } from '../../foundation/hooks/use-action.js';
import { t } from '../../foundation/text/text.js';
import { api } from '../session.js';
import type { Weight, Weights } from './weight.js';

const MOST = 1_000_000;

/** Parses a weight somebody typed, with a comma or a point; undefined where it is none. */
function parseWeight(text: string): number | undefined {
  const plain = text.trim().replace(',', '.');
  const value = Number(plain);
  return plain !== '' && Number.isFinite(value) && value >= 0 && value <= MOST ? value : undefined;
}

/** Sets what a token of a model debits in chat. */
export function WeightDialog({
  weight,
  onDone,
  onClose,
}: {
  readonly weight: Weight | undefined;
  readonly onDone: (weights: Weights) => void;
  readonly onClose: () => void;
}) {
  const [model, setModel] = useState(weight?.model ?? '');
  const [input, setInput] = useState(weight === undefined ? '' : String(weight.input_weight));
  const [output, setOutput] = useState(weight === undefined ? '' : String(weight.output_weight));
  const [comment, setComment] = useState(weight?.comment ?? '');
  const [checked, setChecked] = useState(false);
  const [ofInput, ofOutput] = [parseWeight(input), parseWeight(output)];
  const isOutput = output.trim() === '' || ofOutput !== undefined;
  const action = useAction(async () => {
    const one = {
      model: model.trim(),
      input_weight: ofInput,
      ...(ofOutput !== undefined && { output_weight: ofOutput }),
      ...(comment.trim() !== '' && { comment: comment.trim() }),
    };
    onDone(await api.put<Weights>('admin/model-weights', { model_weights: [one] }));
    announce(t('admin.prices.said', { model: model.trim() }));
    onClose();
  });
  return (
    <FormDialog
      title={t(weight === undefined ? 'admin.weights.add' : 'admin.weights.change')}
      onClose={onClose}
      action={action}
      submit={t('admin.save')}
      check={() => {
        setChecked(true);
        return model.trim() !== '' && ofInput !== undefined && isOutput;
      }}
    >
      <Field
        label={t('admin.usage.by.model')}
        hint={t('admin.weights.modelHint')}
        value={model}
        onValue={setModel}
        readOnly={weight !== undefined}
        error={checked && model.trim() === '' ? t('admin.missing') : undefined}
        autocomplete="off"
        autocapitalize="none"
        spellcheck={false}
      />
      <Field
        label={t('admin.weights.input')}
        hint={t('admin.weights.inputHint')}
        value={input}
        onValue={setInput}
        error={checked && ofInput === undefined ? t('admin.weights.wrong') : undefined}
        inputmode="decimal"
        autocomplete="off"
      />
      <Field
        label={t('admin.weights.output')}
        hint={t('admin.weights.outputHint')}
        value={output}
        onValue={setOutput}
        error={checked && !isOutput ? t('admin.weights.wrong') : undefined}
        inputmode="decimal"
        autocomplete="off"
      />
      <Field
        label={t('admin.weights.comment')}
        value={comment}
        onValue={setComment}
        maxLength={500}
        autocomplete="off"
      />
    </FormDialog>
  );
}
