/** Answers in memory: see `AnswerStorage` for the laws. */
import { Effect } from "effect"
import { isOver, leavingMax, standing } from "../../core/domain/Answer.ts"
import type { AnswerStorage } from "../../core/services/AnswerStorage.ts"
import type { MemoryState } from "./MemoryState.ts"

export const make = ({ answers }: MemoryState, now: () => number): AnswerStorage => {
  /** In the order in which they were begun. */
  const letGo = () => {
    let left = leavingMax
    for (const [key, kept] of answers) {
      if (left-- === 0 || !isOver(kept, now())) return
      answers.delete(key)
    }
  }

  return {
    begin: (key, order) =>
      Effect.sync(() => {
        letGo()
        const known = standing(answers.get(key), order, now())
        if (known._tag === "Begun") {
          answers.delete(key)
          answers.set(key, { order, begunAt: now(), answer: undefined })
        }
        return known
      }),
    keep: (key, order, answer) =>
      Effect.sync(() => {
        const kept = answers.get(key)
        if (kept?.order !== order || kept.answer !== undefined) return
        answers.set(key, { ...kept, answer })
      }),
    giveUp: (key, order) =>
      Effect.sync(() => {
        const kept = answers.get(key)
        if (kept?.order === order && kept.answer === undefined) answers.delete(key)
      }),
    count: Effect.sync(() => answers.size),
  }
}
