import {
  type Counts,
  type Evidence,
  judgeUsage,
  mergeCounts,
  NO_COUNTS,
  parseCount,
} from '../../../src/features/chat/metering/evidence.js';
import t from '../../helpers/run/tap.js';

const NUMBERS: readonly (readonly [value: unknown, count: number | undefined])[] = [
  [0, 0],
  [12, 12],
  [-0, 0],
  [1e3, 1_000],
  [12.0, 12],
  [11.2, 12],
  ['12', 12],
  [' 12 ', 12],
  ['12.0', 12],
  ['1e3', 1_000],
  ['1E+3', 1_000],
  ['0', 0],
  [1_000_000_000, 1_000_000_000],
  [1_000_000_001, undefined],
  ['99999999999999999999', undefined],
  [1e15, undefined],
  ['1e309', undefined],
  [-1, undefined],
  ['-1', undefined],
  [-0.5, undefined],
  [Number.NaN, undefined],
  [Number.POSITIVE_INFINITY, undefined],
  ['NaN', undefined],
  ['Infinity', undefined],
  ['', undefined],
  [' ', undefined],
  ['0x10', undefined],
  ['1,234', undefined],
  ['12 tokens', undefined],
  [true, undefined],
  [null, undefined],
  [undefined, undefined],
  [[12], undefined],
  [{}, undefined],
];

t.test('a count is read if it can be', async (t) => {
  for (const [value, count] of NUMBERS) t.strictSame(parseCount(value), count, `${typeof value} ${String(value)}`);
});

const said = (counts: Partial<Counts>): Counts => ({ ...NO_COUNTS, ...counts });

t.test('the greatest that upstream ever said counts, each count by itself', async (t) => {
  const MERGES: readonly (readonly [told: readonly Partial<Counts>[], together: Partial<Counts>])[] = [
    [[], {}],
    [
      [
        { input: 300, output: 20 },
        { input: 0, output: 0, total: 0 },
      ],
      { input: 300, output: 20, total: 0 },
    ],
    [[{ input: 300, output: 20, total: 320 }, {}], { input: 300, output: 20, total: 320 }],
    [[{ input: 300, output: 1 }, { output: 8 }, { output: 20 }], { input: 300, output: 20 }],
    [[{ input: 300 }, { output: 20 }, { total: 320 }], { input: 300, output: 20, total: 320 }],
    [
      [
        { input: 5, output: 90 },
        { input: 300, output: 20, reasoning: 7 },
      ],
      { input: 300, output: 90, reasoning: 7 },
    ],
  ];
  for (const [told, together] of MERGES) {
    const counts = told.map(said);
    t.strictSame(counts.reduce(mergeCounts, NO_COUNTS), said(together));
    t.strictSame(counts.toReversed().reduce(mergeCounts, NO_COUNTS), said(together), 'in any order');
  }
});

/** A prompt of 30 tokens and an answer of 100. */
const usual: Evidence = {
  said: NO_COUNTS,
  isFinal: true,
  prompt: { bytes: 120, counted: 30, held: 50 },
  answer: { bytes: 450, counted: 100, held: 2_000 },
};
const silent = { bytes: 0, counted: 0, held: 2_000 };
const word = { bytes: 5, counted: 1, held: 2_000 };
const FINAL = 'provider_final';
const ESTIMATED = 'estimated';

type Case = readonly [
  name: string,
  counts: Partial<Counts>,
  rest: Partial<Omit<Evidence, 'said'>>,
  bill: readonly [input: number, output: number, provenance: string],
];

const CASES: readonly Case[] = [
  ["upstream's counts stand", { input: 32, output: 110, total: 142 }, {}, [32, 110, FINAL]],
  ['also where they are less than ours, within reason', { input: 20, output: 80 }, {}, [20, 80, FINAL]],
  ['also where they are far more: nobody sees hidden reasoning', { input: 32, output: 9_000 }, {}, [32, 9_000, FINAL]],
  ['also where only a word came', { input: 32, output: 9 }, { answer: word }, [32, 9, FINAL]],
  ['without any count both are estimated', {}, {}, [30, 100, ESTIMATED]],

  ['reasoning stands only in the total', { input: 32, output: 9, total: 135 }, { answer: word }, [32, 103, FINAL]],
  ['reasoning stands beside the output', { input: 32, output: 9, reasoning: 94 }, { answer: word }, [32, 103, FINAL]],
  [
    'reasoning stands beside the output and in the total',
    { input: 32, output: 9, total: 135, reasoning: 94 },
    { answer: word },
    [32, 103, FINAL],
  ],
  ['reasoning is part of the output', { input: 32, output: 110, total: 142, reasoning: 80 }, {}, [32, 110, FINAL]],
  ['a total that is too small says nothing', { input: 32, output: 110, total: 5 }, {}, [32, 110, FINAL]],
  ['a total of 0 says nothing', { input: 32, output: 110, total: 0 }, {}, [32, 110, FINAL]],

  ['the output follows from the total', { input: 32, total: 142 }, {}, [32, 110, FINAL]],
  ['the input follows from the total', { output: 110, total: 142 }, {}, [32, 110, FINAL]],
  ['a total without anything for the answer', { input: 300, total: 300 }, { answer: word }, [300, 1, ESTIMATED]],
  ['a total without anything for the prompt', { output: 110, total: 110 }, {}, [30, 110, ESTIMATED]],
  ['only a total: no less is billed', { total: 400 }, {}, [30, 370, ESTIMATED]],
  ['only a total that is too small', { total: 40 }, {}, [30, 100, ESTIMATED]],
  ['only the input', { input: 32 }, {}, [32, 100, ESTIMATED]],
  ['only the output', { output: 110 }, {}, [30, 110, ESTIMATED]],
  ['only reasoning: a floor', { input: 32, reasoning: 500 }, {}, [32, 500, ESTIMATED]],

  ['an output of 0 for words that came', { input: 32, output: 0 }, {}, [32, 100, ESTIMATED]],
  ['an output of 0 for a single word', { input: 32, output: 0 }, { answer: word }, [32, 1, ESTIMATED]],
  ['an output far below the words that came', { input: 300, output: 1 }, {}, [300, 100, ESTIMATED]],
  ['an input of 0', { input: 0, output: 110 }, {}, [30, 110, ESTIMATED]],
  [
    'an input far below what the request carried',
    { input: 1, output: 110 },
    { prompt: { bytes: 12_000, counted: 3_000, held: 4_000 } },
    [3_000, 110, ESTIMATED],
  ],
  [
    'an input half of what the request carried: upstream may leave out what does not fit',
    { input: 1_500, output: 110 },
    { prompt: { bytes: 12_000, counted: 3_000, held: 4_000 } },
    [1_500, 110, FINAL],
  ],
  ['zeros only, for words that came', { input: 0, output: 0, total: 0 }, {}, [30, 100, ESTIMATED]],
  ['zeros only, and nothing came', { input: 0, output: 0, total: 0 }, { answer: silent }, [0, 0, FINAL]],
  ['no count, and nothing came: the prompt was read', {}, { answer: silent }, [30, 0, ESTIMATED]],
  ['counts, and nothing came', { input: 300, output: 20 }, { answer: silent }, [300, 20, FINAL]],
  [
    'a long word is one token',
    { input: 32, output: 1 },
    { answer: { bytes: 13, counted: 1, held: 9 } },
    [32, 1, FINAL],
  ],
  [
    'a run of one character is few tokens',
    { input: 32, output: 20 },
    { answer: { bytes: 1_000, counted: 16, held: 2_000 } },
    [32, 20, FINAL],
  ],

  ['an intermediate count is a floor', { input: 300, output: 1 }, { isFinal: false }, [300, 100, ESTIMATED]],
  ['a floor above our estimate', { input: 300, output: 170 }, { isFinal: false }, [300, 170, ESTIMATED]],
  ['a floor of zeros', { input: 0, output: 0 }, { isFinal: false, answer: silent }, [30, 0, ESTIMATED]],
  ['a floor without words', { input: 300, output: 1 }, { isFinal: false, answer: silent }, [300, 1, ESTIMATED]],
  ['a floor in the total', { input: 300, output: 1, total: 700 }, { isFinal: false }, [300, 400, ESTIMATED]],

  [
    'no estimate is more than was held',
    {},
    { prompt: { bytes: 120, counted: 90, held: 50 }, answer: { bytes: 450, counted: 100, held: 90 } },
    [50, 90, ESTIMATED],
  ],
  [
    "upstream's count may be more than was held",
    { input: 80, output: 300 },
    { answer: { bytes: 450, counted: 100, held: 90 } },
    [80, 300, FINAL],
  ],
];

for (const [name, counts, rest, [inputTokens, outputTokens, provenance]] of CASES) {
  t.test(name, async (t) => {
    const evidence: Evidence = { ...usual, ...rest, said: said(counts) };
    t.match(judgeUsage(evidence), { inputTokens, outputTokens, provenance });
    // What stands by the length of the texts stands when they have been counted.
    const uncounted = {
      ...evidence,
      prompt: { ...evidence.prompt, counted: undefined },
      answer: { ...evidence.answer, counted: undefined },
    };
    const quick = judgeUsage(uncounted);
    if (!quick.isInputEstimated) t.equal(inputTokens, quick.inputTokens);
    if (!quick.isOutputEstimated) t.equal(outputTokens, quick.outputTokens);
  });
}

t.end();
