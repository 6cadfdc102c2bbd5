/**
 * The laws of `TransferStorage`, as tests. `suite(name, from, to)` passes when all that one storage
 * keeps can be moved to another; both are the same for an adapter by itself, and made anew for each
 * test, since an import is into an empty one. They live in real time, as whoever writes a file does.
 *
 * Tried on the SQLite adapter, and caught:
 *
 * | law | mistake                                                       |
 * | --- | ------------------------------------------------------------- |
 * | X1  | the journal left behind                                       |
 * | X2  | pages read without one snapshot                               |
 * | X3  | pages of thousands                                            |
 * | X4  | not asked whether anything is kept                            |
 * | X5  | what came is committed, however the import ends               |
 * | X6  | who was here has what its lease had left, not a whole ttl     |
 * | X7  | which report was settled last is lost                         |
 * | X8  | slots left behind                                             |
 * | X9  | turns at a gate the other way round; ranks left behind        |
 * | X10 | fences of locks begin anew                                    |
 *
 * On PostgreSQL: a grant exported twice, of a run that was lost for good and revived (X1).
 */
import { describe, it } from "@effect/vitest"
import { held } from "./transfer/held.ts"
import { inOrder } from "./transfer/inOrder.ts"
import { locks } from "./transfer/locks.ts"
import { passageOf, type Side } from "./transfer/Passage.ts"
import { used } from "./transfer/used.ts"
import { whole } from "./transfer/whole.ts"

export const suite = <R, R2 = R>(title: string, from: Side<R>, to: Side<R2>): void =>
  void describe(`TransferStorage, ${title}`, () => {
    const passage = passageOf(
      (name, body) => void it.live(name, body, 60_000),
      from,
      to,
    )
    whole(passage)
    held(passage)
    used(passage)
    inOrder(passage)
    locks(passage)
  })
