/**
 * Our states in the words that others use for them: two older vocabularies, published as data, so
 * that who has code written in one of them can go on reading it.
 *
 * One state of ours may be several of theirs, and the other way round; each of ours has exactly one
 * word in each, which is the one to answer with.
 */
import { Schema } from "effect"
import type { StateName } from "./Run.ts"

/**
 * `stages`: init, create, prepare, postpose, running, pause, success, fail, finish, none, rollback.
 * `dotted`: created, waiting-to-run, running, canceled, ran-to-completion, faulted.
 */
export const Vocabulary = Schema.Literals(["stages", "dotted"])
export type Vocabulary = typeof Vocabulary.Type

export const vocabularies: ReadonlyArray<Vocabulary> = Vocabulary.literals

export const words = {
  Scheduled: { stages: "Create", dotted: "Created" },
  Blocked: { stages: "Postpose", dotted: "WaitingToRun" },
  Ready: { stages: "Postpose", dotted: "WaitingToRun" },
  Running: { stages: "Running", dotted: "Running" },
  Awaiting: { stages: "Running", dotted: "Running" },
  Suspended: { stages: "Pause", dotted: "WaitingToRun" },
  Succeeded: { stages: "Success", dotted: "RunToCompletion" },
  Failed: { stages: "Fail", dotted: "Faulted" },
  TimedOut: { stages: "Fail", dotted: "Faulted" },
  Cancelled: { stages: "Finish", dotted: "Canceled" },
  Discarded: { stages: "Finish", dotted: "Canceled" },
  Quarantined: { stages: "Fail", dotted: "Faulted" },
  Expired: { stages: "Finish", dotted: "Canceled" },
} as const satisfies Readonly<Record<StateName, Readonly<Record<Vocabulary, Word>>>>

/**
 * What they have a word for and we have no state: before a run is kept there is none (`Init`,
 * `None`); a run that is claimed is prepared and begun in one step (`Prepare`); and one that is being
 * undone is running, in a phase of its own (`Rollback`).
 */
export const without = {
  stages: ["Init", "None", "Prepare", "Rollback"],
  dotted: [],
} as const satisfies Readonly<Record<Vocabulary, ReadonlyArray<string>>>

/** A word of any of them. */
export const Word = Schema.Literals([
  "Create",
  "Postpose",
  "Running",
  "Pause",
  "Success",
  "Fail",
  "Finish",
  "Init",
  "None",
  "Prepare",
  "Rollback",
  "Created",
  "WaitingToRun",
  "RunToCompletion",
  "Faulted",
  "Canceled",
])
export type Word = typeof Word.Type

/** All words of one, in the order of our states. */
export const wordsOf = (vocabulary: Vocabulary): ReadonlyArray<Word> => [
  ...new Set([...Object.values(words).map((word) => word[vocabulary]), ...without[vocabulary]]),
]

/** The state in the words of `vocabulary`. */
export const wordOf = (state: StateName, vocabulary: Vocabulary): Word => words[state][vocabulary]

/** Our states of that word, for who asks in theirs. */
export const statesOf = (word: string, vocabulary: Vocabulary): ReadonlyArray<StateName> =>
  (Object.keys(words) as Array<StateName>).filter((state) => wordOf(state, vocabulary) === word)
