/**
 * Which losses of a run count towards its quarantine, where its policy forgets them: those within a
 * window that slides, since the run last came on. What it ends itself, be it by a failure, is a way on;
 * so is what is put down or handed over, and an operator who revives it.
 */

interface Happened {
  readonly kind: string
  /** Milliseconds since 1970. */
  readonly at: number
}

/** After these what was lost before counts no more. */
export const waysOn: ReadonlyArray<string> = ["Retried", "Yielded", "Awaited", "Revived"]

/** How many count of those that its journal tells of, and of the one now. */
export const lately = (
  journal: ReadonlyArray<Happened>,
  now: number,
  withinMillis: number,
): number => {
  const came = journal.filter(({ kind }) => waysOn.includes(kind)).map(({ at }) => at)
  const since = Math.max(now - withinMillis, ...came)
  return 1 + journal.filter(({ at, kind }) => kind === "Lost" && at > since).length
}
