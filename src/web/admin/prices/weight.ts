import type { Static } from '@sinclair/typebox';
import type { ModelWeightsSchema } from '../../../features/admin/budget/model-weight-schemas.js';

/** What a token of each model debits in chat. */
export type Weights = Static<typeof ModelWeightsSchema>;
export type Weight = Weights['model_weights'][number];
