/**
 * Runs of a trigger that somebody asks for: one now, or one for each slot of a range that has not
 * fired.
 *
 * Both are safe to repeat. A request makes one run, however often it comes; a slot is filled in once
 * (T13). So a backfill that was cut off is resumed by asking for it again.
 */
import { Duration, Effect, Option, Schema } from "effect"
import { Refused } from "../domain/Refused.ts"
import type { RunId } from "../domain/RunId.ts"
import type { Policy } from "../domain/Task.ts"
import * as Trigger from "../domain/Trigger.ts"
import * as Placer from "../services/Placer.ts"
import type { Storage } from "../services/Storage.ts"
import { StorageUnavailable } from "../services/StorageUnavailable.ts"
import type { Asked, Asking as Item, TriggerView } from "../services/TriggerStorage.ts"
import { checkedBy, checkedRequest } from "./asked.ts"
import { KeyConflict, payloadBytesMax } from "./Submitting.ts"
import { policyOf, specOf } from "./triggered.ts"

export interface Asking {
  /** Who asks again with it is told of the run that there is. */
  readonly request: string
  readonly by?: string | undefined
  /** JSON text; of the trigger unless named. */
  readonly payload?: string | undefined
}

export interface Backfill {
  /** What the runs have in common, and are cancelled by. */
  readonly request: string
  readonly by?: string | undefined
  /** Slots in [`from`, `to`), in milliseconds since 1970. */
  readonly from: number
  readonly to: number
  /** Refused if there are more slots in the range; 100 unless named. */
  readonly max?: number | undefined
  /** The runs are due one after the other, so far apart; all at once unless named. */
  readonly pace?: Duration.Input | undefined
  /** Only says what would be done. */
  readonly isDry?: boolean | undefined
}

export interface Backfilled {
  readonly slots: ReadonlyArray<{
    readonly slot: number
    /** `known`: it had fired, or was filled in. `pending`: the trigger will fire it itself. */
    readonly answer: "fired" | "would fire" | "known" | "pending"
    readonly run: RunId | undefined
  }>
}

/** Some slots are filled in, and the trigger is now such that the others cannot be. */
export class BackfillCutOff extends Schema.TaggedError<BackfillCutOff>()("BackfillCutOff", {
  /** How many slots are filled in. */
  filled: Schema.Int,
  /** What keeps the others from it. */
  reason: Schema.String,
}) {
  override get message() {
    return `${this.filled} slots are filled in, and the others are not: ${this.reason}`
  }
}

export const backfillMax = 1000
type Answered = readonly [Item, Exclude<Asked, { readonly _tag: "Stale" }>]

/** So many slots are filled in by one step. */
const batch = 100
/** A trigger that is changed as often while one asks is asked no more. */
const triesMax = 10

const refused = (field: string, reason: string, remedy: string) =>
  Effect.fail(new Refused({ field, reason, remedy }))

const checked = ({ by, request }: Asking | Backfill) =>
  Effect.andThen(checkedRequest(request), checkedBy(by))

const checkedPayload = (payload: string | undefined) => {
  const bytes = payload === undefined ? 0 : new TextEncoder().encode(payload).length
  return bytes <= payloadBytesMax ? Effect.void : refused(
    "payload",
    `its JSON takes ${bytes} bytes, more than ${payloadBytesMax}`,
    "Keep the data elsewhere and name where it is",
  )
}

const checkedRange = ({ from, max = 100, pace = 0, to }: Backfill, now: number) => {
  const paceMillis = Duration.toMillis(Duration.fromInputUnsafe(pace))
  if (!(from < to)) return refused("to", "it is not after `from`", "Name a later end of the range")
  if (to > now) {
    return refused(
      "to",
      "it is to come",
      "Name an instant that is over: what is to come fires itself",
    )
  }
  if (!Number.isInteger(max) || max < 1 || max > backfillMax) {
    return refused("max", `it is ${max}`, `Use 1 to ${backfillMax}, and several ranges for more`)
  }
  if (!(paceMillis >= 0 && paceMillis <= 86_400_000)) {
    return refused("pace", `it is ${paceMillis} ms`, "Use a day at most")
  }
  return Effect.succeed({ max, paceMillis: Math.ceil(paceMillis) })
}

export const makeAsking = (storage: Storage["Service"]) => {
  const { calendars, runs, triggers } = storage
  const placer = Placer.make(storage)

  /**
   * Asks for what `wanted` makes of the trigger as it is; anew when it has changed meanwhile. What was
   * answered is in `answers`, also when the others are refused.
   */
  const ask = Effect.fnUntraced(function* <E, E2>(
    find: Effect.Effect<TriggerView, E>,
    isDry: boolean,
    wanted: (view: TriggerView, policy: Policy) => Effect.Effect<ReadonlyArray<Item>, E2>,
    answers: Array<Answered> = [],
  ) {
    for (let tries = 0;; tries++) {
      const view = yield* find
      const policy = yield* policyOf(storage, view.definition)
      const asked = new Set(answers.map(([{ slot }]) => slot))
      const items = (yield* wanted(view, policy)).filter(({ slot }) => !asked.has(slot))
      const answered = answers.length
      for (let at = 0; at < items.length; at += batch) {
        const some = items.slice(at, at + batch)
        for (const [nth, answer] of (yield* triggers.ask(some, isDry)).entries()) {
          if (answer._tag === "Stale") break
          answers.push([some[nth]!, answer])
        }
        if (answers.length < answered + at + some.length) break
      }
      if (answers.length === answered + items.length) break
      if (tries === triesMax) {
        return yield* refused("name", "the trigger changes all the time", "Try again later")
      }
    }
    const gates = new Set(
      answers.flatMap(([{ spec }, { _tag }]) =>
        _tag === "Fired" && spec.gate !== undefined ? [spec.gate.key] : []
      ),
    )
    // They are stored: if the gate cannot be asked now, the sweep will.
    if (gates.size > 0) yield* Effect.ignore(placer.admit(gates))
    return answers
  })

  const fire = Effect.fnUntraced(function* <E>(
    find: Effect.Effect<TriggerView, E>,
    asking: Asking,
  ) {
    const { by, payload, request } = asking
    yield* checked(asking)
    yield* checkedPayload(payload)
    const [answered] = yield* ask(
      find,
      false,
      ({ definition, id, revision }, policy) =>
        definition.schedule._tag === "Permanent"
          ? refused(
            "name",
            "one run of it is always alive",
            "Let it be, or resume it if it is paused",
          )
          : payload === undefined && Trigger.isPassedOn(definition.schedule)
          ? refused(
            "payload",
            "its runs get what is passed on from the run or the entry that they are for",
            "Name the payload of this one",
          )
          : Effect.succeed([{
            trigger: id,
            revision,
            kind: "manual",
            request,
            by,
            slot: undefined,
            spec: {
              ...specOf(definition, policy, 0),
              ...(payload !== undefined && { payload }),
            },
          }]),
    )
    const [, answer] = answered!
    const run = (answer as { readonly run: RunId }).run
    const isNew = answer._tag === "Fired"
    if (!isNew && payload !== undefined) {
      const found = yield* runs.find(run)
      if (Option.isSome(found) && found.value.payload !== payload) {
        return yield* new KeyConflict({ idempotencyKey: request, run })
      }
    }
    return { run, isNew }
  })

  const backfill = Effect.fnUntraced(function* <E extends Error>(
    find: Effect.Effect<TriggerView, E>,
    range: Backfill,
  ): Effect.fn.Return<Backfilled, E | Refused | BackfillCutOff | StorageUnavailable> {
    yield* checked(range)
    const { max, paceMillis } = yield* checkedRange(range, yield* storage.now)
    const { by, from, isDry = false, request, to } = range
    const answers: Array<Answered> = []
    yield* ask(
      find,
      isDry,
      Effect.fnUntraced(function* ({ definition, id, revision }, policy) {
        const { namespace, schedule } = definition
        if (schedule._tag === "Permanent") {
          return yield* refused("name", "it has no slots but those that fired", "Let it be")
        }
        if (Trigger.isByEvent(schedule)) {
          return yield* refused(
            "name",
            "it fires by events, and has no instants",
            "Fire it by hand",
          )
        }
        const named = Trigger.calendarOf(schedule)
        const found = named && Option.getOrUndefined(yield* calendars.find(namespace, named))
        const items: Array<Item> = []
        for (const slot of Trigger.slots(schedule, from - 1, found?.calendar)) {
          if (slot >= to) break
          if (items.length === max) {
            return yield* refused(
              "max",
              `there are more than ${max} slots in the range`,
              `Name a shorter range, or a larger max, up to ${backfillMax}`,
            )
          }
          const spec = specOf(definition, policy, items.length * paceMillis)
          items.push({ trigger: id, revision, kind: "backfill", request, by, slot, spec })
        }
        return items
      }),
      answers,
    ).pipe(Effect.mapError((error) => {
      const filled = answers.filter(([, { _tag }]) => _tag === "Fired").length
      return filled === 0 || error instanceof StorageUnavailable
        ? error
        : new BackfillCutOff({ filled, reason: error.message })
    }))
    return {
      slots: answers.map(([{ slot }, answer]) => ({
        slot: slot!,
        answer: words[answer._tag],
        run: "run" in answer ? answer.run : undefined,
      })),
    }
  })

  const cancelBackfill = Effect.fnUntraced(function* (
    trigger: Trigger.TriggerId,
    request: string,
    by: string | undefined,
  ) {
    yield* checkedRequest(request)
    yield* checkedBy(by)
    const found = yield* triggers.asked(trigger, request, backfillMax)
    if (found.length === 0) {
      return yield* refused(
        "request",
        "the trigger has no backfill of this name",
        "Look for it among its slots: belfry trigger slots",
      )
    }
    const counts = { confirmed: 0, requested: 0, ended: 0 }
    // The latest first: those before them are likelier to have begun.
    for (const run of found.toReversed()) {
      const cancelled = yield* runs.cancel(run, by)
      const { answer, freed } = Option.getOrElse(
        cancelled,
        () => ({ answer: "ended" as const, freed: [] }),
      )
      counts[answer]++
      if (freed.length > 0) yield* Effect.ignore(placer.admit(freed))
    }
    return counts
  })

  return { fire, backfill, cancelBackfill }
}

const words = {
  Fired: "fired",
  Dry: "would fire",
  Already: "known",
  Pending: "pending",
} as const
