/** What SQLite says when it cannot, in words that tell what to do about it. */
import { Effect } from "effect"
import { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"

/** Deno gives no error numbers, so some are known by their text. */
const hasCode = (error: unknown, codes: ReadonlyArray<number>, text: RegExp): boolean => {
  const { errcode, message } = error as { errcode?: number; message?: string }
  return errcode === undefined ? text.test(message ?? "") : codes.includes(errcode & 0xff)
}

export const isBusy = (error: unknown): boolean => hasCode(error, [5, 6], /is locked/)
export const isForeign = (error: unknown): boolean => hasCode(error, [26], /not a database/)
export const isDamaged = (error: unknown): boolean => hasCode(error, [11], /malformed/)
export const isConstraint = (error: unknown): boolean => hasCode(error, [19], /constraint failed/)
const isFull = (error: unknown): boolean => hasCode(error, [13], /is full/)
const isReadOnly = (error: unknown): boolean => hasCode(error, [8, 14], /readonly|unable to open/)
const isInputOutput = (error: unknown): boolean => hasCode(error, [10], /disk I\/O/)

const explanationOf = (error: unknown): string | undefined => {
  if (isFull(error)) return "there is no room left on its disk; make some, and it goes on"
  if (isReadOnly(error)) {
    return "the file may not be written; let this user write the file and its folder"
  }
  if (isInputOutput(error)) return "its disk did not take or give the data"
  return isDamaged(error) ? "the file is damaged; put a copy of it in its place" : undefined
}

export const unavailable = (operation: string, cause: unknown): StorageUnavailable => {
  const explanation = explanationOf(cause)
  return new StorageUnavailable({
    storage: "sqlite",
    operation,
    cause: explanation === undefined
      ? cause
      : new Error(`${explanation} (${(cause as Error).message})`, { cause }),
  })
}

/** What SQLite could not do is an outage; a broken constraint, and any other error, is our defect. */
export const failed = (
  operation: string,
  error: unknown,
): Effect.Effect<never, StorageUnavailable> =>
  error instanceof Error && "code" in error && !isConstraint(error)
    ? Effect.fail(unavailable(operation, error))
    : Effect.die(error)
