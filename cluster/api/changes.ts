/** What is kept of a trigger, with what a change names of it: what is not named stays. */
import { Result } from "effect"
import { Refused } from "../../core/domain/Refused.ts"
import type { Misfire } from "../../core/domain/Trigger.ts"
import type * as Views from "./Views.ts"

type Kind = "cron" | "everyMillis" | "at" | "after" | "tail" | "permanent"

/** What belongs to a schedule of each kind, and what people call it. */
const kinds: Readonly<
  Record<Kind, { readonly words: string; readonly fields: ReadonlyArray<string> }>
> = {
  cron: {
    words: "a schedule by cron expression",
    fields: ["zone", "gap", "overlap", "calendar", "freeDay", "start", "end", "jitterMillis"],
  },
  everyMillis: {
    words: "a schedule by interval",
    fields: ["start", "end", "jitterMillis"],
  },
  at: { words: "a schedule of one instant", fields: ["jitterMillis"] },
  after: { words: "a trigger that follows a task", fields: ["on", "when", "passing"] },
  tail: { words: "a trigger that tails a source", fields: ["from", "when", "unreadable"] },
  permanent: { words: "a permanent trigger", fields: [] },
}
const names = Object.keys(kinds) as ReadonlyArray<Kind>

const kindOf = (schedule: Views.Schedule) => names.find((kind) => kind in schedule)!

/** The kind that a change says the schedule is of; one that only says more of a table says none. */
const namedBy = (change: Views.ChangeSchedule): ReadonlyArray<Kind> =>
  names.filter((kind) =>
    change[kind] !== undefined && !(
      kind === "tail" && typeof change.tail === "object" && change.tail.table === undefined
    )
  )

/** Whether it says when, so that a trigger can be kept that was not there. */
export const saysWhen = (change: Views.ChangeSchedule | undefined): boolean =>
  change !== undefined && namedBy(change).length > 0

const refused = (field: string, reason: string, remedy: string) =>
  Result.fail(new Refused({ field, reason, remedy }))

/** A change names at least what kind it is of, where nothing is kept. */
export const schedule = (
  kept: Views.Schedule | undefined,
  change: Views.ChangeSchedule,
): Result.Result<Views.Schedule, Refused> => {
  const [named, other] = namedBy(change)
  if (other !== undefined) {
    return refused(
      "schedule",
      `it names both \`${named}\` and \`${other}\``,
      "Name one, and keep a trigger for each",
    )
  }
  const kind = named ?? (kept && kindOf(kept))
  if (kind === undefined) {
    return refused("schedule", "it does not say when", `Name one of ${names.join(", ")}`)
  }
  const { fields, words } = kinds[kind]
  const stray = Object.keys(change).find((key) => key !== kind && !fields.includes(key))
  if (stray !== undefined) {
    // A table is known by `tail`, and what is named is one of its columns.
    const [column] = stray === "tail" ? Object.keys(change.tail as object) : []
    return refused(
      `schedule.${stray}${column === undefined ? "" : `.${column}`}`,
      `it says nothing of ${words}`,
      `Leave it out${homes(stray, kind)}`,
    )
  }
  const old: Record<string, unknown> = kept !== undefined && kindOf(kept) === kind
    ? { ...kept }
    : {}
  // An interval is counted anew when it is another, or begins at another instant.
  if ("everyMillis" in change || "start" in change) delete old["anchor"]
  const all: Record<string, unknown> = { ...old, ...change }
  if (kind === "after") all["on"] ??= "success"
  if (kind === "permanent") {
    all["permanent"] = { ...old["permanent"] as object, ...change.permanent }
  }
  if (kind === "tail" && typeof change.tail === "object") {
    const { tail } = old
    if (typeof tail !== "object" && change.tail.table === undefined) {
      const [column = "id"] = Object.keys(change.tail)
      return refused(
        `schedule.tail.${column}`,
        "its source is brought by a program, and has no columns",
        "Leave it out, or name a table",
      )
    }
    all["tail"] = { ...(typeof tail === "object" ? tail : {}), ...change.tail }
  }
  return Result.succeed(
    Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null)) as Views.Schedule,
  )
}

/** Of which other schedules that is said. */
const homes = (field: string, not: Kind): string => {
  const of = names.filter((kind) => kind !== not && kinds[kind].fields.includes(field))
  return of.length === 0 ? "" : `, or keep ${of.map((kind) => kinds[kind].words).join(" or ")}`
}

/** Of how many that were missed still fire. */
const usualMax = 10

export const misfire = (
  kept: Misfire | undefined,
  change: Views.ChangeMisfire,
): Result.Result<Misfire | undefined, Refused> => {
  const tag = change._tag ?? kept?._tag
  if (tag === "All") {
    const old = kept?._tag === "All" ? kept : undefined
    const max = change.max ?? old?.max ?? usualMax
    const age = change.maxAgeMillis === undefined ? old?.maxAgeMillis : change.maxAgeMillis
    return Result.succeed({
      _tag: "All",
      max,
      ...(age !== undefined && age !== null && { maxAgeMillis: age }),
    })
  }
  const stray = (["max", "maxAgeMillis"] as const).find((key) => change[key] !== undefined)
  if (stray === undefined) return Result.succeed(tag === undefined ? undefined : { _tag: tag })
  return refused(
    `misfire.${stray}`,
    "it is said of `all` alone, by which missed slots still fire",
    "Name that as well, or leave it out",
  )
}
