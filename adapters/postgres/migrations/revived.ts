/**
 * A run that its trigger has not let begin was never granted, and one like that is found by its due
 * time: so that is where it stands when it is revived, too.
 */
import { retold } from "./retold.ts"

const rank = "patience[it.level + 1], each, was.attempt"

export default [
  retold("revive_ended(bigint, bigint[], text, text)", [
    `at + ${rank}`,
    `CASE WHEN was.fence = 0 THEN it.due_at ELSE at END + ${rank}`,
  ]),
]
