/**
 * Who gave the orders that a run took. Each function has one parameter more, which those who do not
 * know of it leave out.
 */
import { remade, retold } from "./retold.ts"

const named = (last: string) =>
  [`${last}, OUT answer text`, `${last}, by_whom text DEFAULT NULL, OUT answer text`] as const

const noted = (kind: string, row: string, indent: string) =>
  [
    `(run_id, at, kind, attempt, fence)\n${indent}` +
    `VALUES (of_run, at, '${kind}', ${row}.attempt, ${row}.fence);`,
    `(run_id, at, kind, attempt, fence, asked_by)\n${indent}` +
    `VALUES (of_run, at, '${kind}', ${row}.attempt, ${row}.fence, by_whom);`,
  ] as const

const inner = "         "

export default [
  `ALTER TABLE journal ADD COLUMN asked_by text`,

  retold(
    "set_level(bigint, smallint, bigint[], text[], text)",
    [
      "attempt, fence, detail)\n         VALUES (of_run, at, 'LevelSet', was.attempt, was.fence,",
      "attempt, fence, asked_by, detail)\n         VALUES (of_run, at, 'LevelSet', was.attempt, " +
      "was.fence, of_by,",
    ],
    [" || coalesce(', by ' || of_by, '')", ""],
  ),

  // The end of what waited tells of its cancellation by itself, but not whose order it was.
  remade(
    "cancel(bigint, bigint[])",
    named("patience bigint[]"),
    ["cancel(k.run_id, patience) c", "cancel(k.run_id, patience, by_whom) c"],
    noted("CancelAsked", "numbers", inner),
    [
      "         is_parent := true;\n",
      `         is_parent := true;
         INSERT INTO journal (run_id, at, kind, attempt, fence, asked_by)
           SELECT of_run, at, 'CancelAsked', p.attempt, p.fence, by_whom FROM parked p
           WHERE p.run_id = of_run AND by_whom IS NOT NULL;\n`,
    ],
    [
      "         INSERT INTO outcome (",
      `         IF by_whom IS NOT NULL THEN
           INSERT INTO journal (run_id, at, kind, attempt, fence, asked_by)
           VALUES (of_run, at, 'CancelAsked', numbers.attempt, numbers.fence, by_whom);
         END IF;
         INSERT INTO outcome (`,
    ],
  ),
  remade(
    "suspend(bigint, bigint[])",
    named("patience bigint[]"),
    noted("Suspended", "numbers", inner),
    noted("SuspendAsked", "numbers", inner),
  ),
  remade(
    "resume(bigint, bigint[])",
    named("patience bigint[]"),
    noted("Resumed", "was", "     "),
  ),
  remade(
    "notify_run(bigint, boolean, text, text)",
    named("of_failure text"),
    noted("Notified", "was", inner),
  ),
  remade(
    "revive_ended(bigint, bigint[], text)",
    named("prefix text"),
    [
      "incarnation, kind, attempt, fence, failure, detail)",
      "incarnation, kind, attempt, fence, failure, asked_by, detail)",
    ],
    ["was.fence, was.failure,\n         CASE", "was.fence, was.failure, by_whom,\n         CASE"],
    [
      "(run_id, at, kind, attempt, fence, failure)\n       VALUES (of_parent, at, 'Reopened', " +
      "was.attempt, was.fence, was.failure)",
      "(run_id, at, kind, attempt, fence, failure, asked_by)\n       VALUES (of_parent, at, " +
      "'Reopened', was.attempt, was.fence, was.failure, by_whom)",
    ],
  ),
  remade(
    "revive(bigint, bigint[], text)",
    named("prefix text"),
    [
      "revive_ended(of_run, patience, prefix)",
      "revive_ended(of_run, patience, prefix, by_whom)",
    ],
  ),
]
