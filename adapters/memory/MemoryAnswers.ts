/** Answers in memory: see `AnswerStorage` for the laws. */
import { Effect } from "effect"
import { isOver, type Kept, leavingMax, standing } from "../../core/domain/Answer.ts"
import type { AnswerStorage } from "../../core/services/AnswerStorage.ts"
import type { MemoryState } from "./MemoryState.ts"

export const make = ({ answers, answersByAge }: MemoryState, now: () => number): AnswerStorage => {
  const forget = (key: string) => {
    const known = answers.get(key)
    if (known === undefined) return
    answers.delete(key)
    answersByAge.delete(known)
  }

  const letGo = () => {
    for (let left = leavingMax; left > 0; left--) {
      const oldest = answersByAge.first
      if (oldest === undefined || !isOver(oldest.kept, now())) return
      forget(oldest.key)
    }
  }

  /** What `beginner` has begun under the key, and has no answer. */
  const own = (key: string, beginner: string) => {
    const known = answers.get(key)
    return known?.kept.beginner === beginner && known.kept.answer === undefined ? known : undefined
  }

  return {
    begin: (key, order, beginner) =>
      Effect.sync(() => {
        letGo()
        const known = standing(answers.get(key)?.kept, order, beginner, now())
        if (known._tag === "Begun") {
          forget(key)
          const kept: Kept = { order, beginner, begunAt: now(), answer: undefined }
          const begun = { key, kept }
          answers.set(key, begun)
          answersByAge.add(begun)
        }
        return known
      }),
    keep: (key, beginner, answer) =>
      Effect.sync(() => {
        const begun = own(key, beginner)
        if (begun !== undefined) begun.kept = { ...begun.kept, answer }
      }),
    giveUp: (key, beginner) =>
      Effect.sync(() => {
        if (own(key, beginner) !== undefined) forget(key)
      }),
    count: Effect.sync(() => answers.size),
  }
}
