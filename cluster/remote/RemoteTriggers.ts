/** The triggers of a server, over REST: an executor without a database may bring its own. */
import { DateTime, Duration, Effect, Layer } from "effect"
import * as Calendar from "../../core/domain/Calendar.ts"
import { BackfillCutOff } from "../../core/engine/Asking.ts"
import { CalendarUnknown, Triggers, TriggerUnknown } from "../../core/engine/Triggers.ts"
import { KeyConflict } from "../../core/engine/Submitting.ts"
import {
  listedMax,
  type SlotRecord,
  TriggerChanged,
  type TriggerPage,
  type TriggerVersion,
  type TriggerView,
} from "../../core/services/TriggerStorage.ts"
import type { Namespace } from "../../core/domain/Namespace.ts"
import { Refused } from "../../core/domain/Refused.ts"
import type { Tail } from "../../core/domain/Tailing.ts"
import type { TaskDefinition } from "../../core/domain/Task.ts"
import { TriggerDefinition, TriggerId } from "../../core/domain/Trigger.ts"
import { scheduleOf, toSchedule } from "../api/answers.ts"
import { listMax } from "../api/Api.ts"
import * as ApiClient from "../api/ApiClient.ts"
import type * as Views from "../api/Views.ts"
import { refusedOr, unanswered, unless } from "./unanswered.ts"

export const layer = (options: ApiClient.AnyOptions): Layer.Layer<Triggers> =>
  Layer.effect(Triggers, make(options))

const make = Effect.fnUntraced(function* (options: ApiClient.AnyOptions) {
  const { calendars, triggers } = yield* ApiClient.anyOf(options)

  const known = (name: string, operation: string) =>
    unless(operation, "TriggerUnknown", () => new TriggerUnknown({ name }))

  const at = (namespace: Namespace, name: string) => ({ params: { name }, query: { namespace } })

  /** Page by page, as the server gives them. */
  const listed = Effect.fnUntraced(
    function* (namespace: Namespace, { after, limit = listedMax }: TriggerPage = {}) {
      const all: Array<Views.Trigger> = []
      for (let cursor = after as TriggerDefinition["name"] | null | undefined; cursor !== null;) {
        const left = Math.min(limit, listedMax) - all.length
        if (left <= 0) break
        const { items, next } = yield* triggers.list({
          query: {
            namespace,
            limit: Math.min(left, listMax),
            ...(cursor !== undefined && { cursor }),
          },
        })
        all.push(...items)
        cursor = next
      }
      return all
    },
    Effect.mapError(unanswered("list triggers")),
  )

  return Triggers.of({
    calendars: {
      put: Effect.fnUntraced(function* (input) {
        const { holidays, name, namespace, rest, workdays } = yield* Effect.fromResult(
          Calendar.make(input),
        )
        return keptOf(
          yield* calendars.put({
            params: { name },
            payload: { namespace, rest, holidays, workdays },
          }).pipe(Effect.mapError(refusedOr("put a calendar"))),
        )
      }),
      find: (namespace, name) =>
        calendars.get(at(namespace, name)).pipe(
          unless("find a calendar", "CalendarUnknown", () => new CalendarUnknown({ name })),
          Effect.map(keptOf),
        ),
      list: (namespace) =>
        calendars.list({ query: { namespace } }).pipe(
          Effect.mapError(unanswered("list calendars")),
          Effect.map(({ items }) => items),
        ),
      remove: (namespace, name) =>
        Effect.mapError(
          calendars.remove(at(namespace, name)),
          (error) =>
            error._tag === "CalendarUnknown"
              ? new CalendarUnknown({ name })
              : refusedOr("remove a calendar")(error),
        ),
    },
    put: (
      {
        blockingKey,
        graceMillis,
        introduces,
        misfire,
        name,
        namespace,
        payload,
        revision,
        schedule,
        task,
        whileRunning,
      },
    ) =>
      triggers.put({
        params: { name },
        payload: {
          namespace,
          task: task as TriggerDefinition["task"],
          schedule: scheduleOf(schedule),
          payload: JSON.parse(payload),
          ...(introduces !== undefined && { introduces: toldOf(introduces) }),
          ...(misfire !== undefined && { misfire }),
          ...(graceMillis !== undefined && { graceMillis }),
          ...(blockingKey !== undefined && { blockingKey }),
          ...(whileRunning !== undefined && { whileRunning }),
          ...(revision !== undefined && { revision }),
        },
      }).pipe(
        Effect.mapError((error) =>
          error._tag === "TriggerChanged"
            ? new TriggerChanged({ name, revision: error.revision })
            : refusedOr("put a trigger")(error)
        ),
        Effect.map(viewOf),
      ),
    // The position moves together with the runs, which takes the storage itself.
    tail: ({ name }) =>
      Effect.fail(
        new Refused({
          field: "schedule",
          reason: `the trigger "${name}" tails a source, and this program has no storage`,
          remedy:
            "Tail it in a program that is connected to the database, or a table on the server",
        }),
      ),
    tails: (namespace) =>
      Effect.map(
        listed(namespace),
        (items) =>
          items.flatMap((shown) =>
            shown.tail === undefined ? [] : [{ view: viewOf(shown), tail: tailOf(shown.tail) }]
          ),
      ),
    remove: (namespace, name) => triggers.remove(at(namespace, name)).pipe(known(name, "remove")),
    pause: (namespace, name) =>
      triggers.pause(at(namespace, name)).pipe(known(name, "pause"), Effect.map(viewOf)),
    resume: (namespace, name) =>
      triggers.resume(at(namespace, name)).pipe(known(name, "resume"), Effect.map(viewOf)),
    list: (namespace, page) => Effect.map(listed(namespace, page), (items) => items.map(viewOf)),
    records: (namespace, name, limit) =>
      triggers.get({ params: { name }, query: { namespace, slots: limit } }).pipe(
        known(name, "records"),
        Effect.map(({ slots }) =>
          slots.map(({ slot, through, ...record }): SlotRecord => ({
            ...record,
            slot: slot.epochMilliseconds,
            through: through.epochMilliseconds,
          }))
        ),
      ),
    versions: (namespace, name, limit) =>
      triggers.versions({ params: { name }, query: { namespace, limit } }).pipe(
        known(name, "versions"),
        Effect.map(({ items }) => items.map((version) => versionOf(namespace, name, version))),
      ),
    fire: (namespace, name, { by, payload, request }) =>
      triggers.fire({
        params: { name },
        headers: { "idempotency-key": request },
        payload: {
          namespace,
          ...(by !== undefined && { by }),
          ...(payload !== undefined && { payload: JSON.parse(payload) }),
        },
      }).pipe(
        Effect.mapError((error) =>
          error._tag === "TriggerUnknown"
            ? new TriggerUnknown({ name })
            : error._tag === "KeyConflict"
            ? new KeyConflict({ idempotencyKey: request, run: error.run })
            : refusedOr("fire")(error)
        ),
      ),
    backfill: (namespace, name, { by, from, isDry, max, pace, request, to }) =>
      triggers.backfill({
        params: { name },
        payload: {
          namespace,
          request,
          from: DateTime.makeUnsafe(from),
          to: DateTime.makeUnsafe(to),
          ...(by !== undefined && { by }),
          ...(isDry !== undefined && { isDry }),
          ...(max !== undefined && { max }),
          ...(pace !== undefined && {
            paceMillis: Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(pace))),
          }),
        },
      }).pipe(
        Effect.mapError((error) =>
          error._tag === "TriggerUnknown"
            ? new TriggerUnknown({ name })
            : error._tag === "BackfillCutOff"
            ? new BackfillCutOff({ filled: error.filled, reason: error.reason })
            : refusedOr("backfill")(error)
        ),
        Effect.map(({ slots }) => ({
          slots: slots.map(({ answer, run, slot }) => ({
            slot: slot.epochMilliseconds,
            answer,
            run,
          })),
        })),
      ),
    cancelBackfill: (namespace, name, request, { by } = {}) =>
      triggers.cancelBackfill({
        params: { name, request },
        query: { namespace, ...(by !== undefined && { by }) },
      }).pipe(
        Effect.mapError((error) =>
          error._tag === "TriggerUnknown"
            ? new TriggerUnknown({ name })
            : refusedOr("cancel a backfill")(error)
        ),
      ),
    audit: (namespace, limit) =>
      triggers.audit({ query: { namespace, limit } }).pipe(
        Effect.mapError(unanswered("audit")),
        Effect.map(({ findings, judgedUpTo, now }) => ({
          now: now.epochMilliseconds,
          judgedUpTo: judgedUpTo.epochMilliseconds,
          findings: findings.map(({ foundAt, kind, slot, through, trigger }) => ({
            name: trigger,
            kind,
            slot: slot.epochMilliseconds,
            through: through.epochMilliseconds,
            foundAt: foundAt.epochMilliseconds,
          })),
        })),
      ),
  })
})

/** The body of a request has its bound: schemas that are longer come with an executor. */
const payloadsMax = 128 * 1024

const toldOf = ({ owner, payloads, policy, purpose }: TaskDefinition) => ({
  policy,
  ...(owner !== undefined && { owner }),
  ...(purpose !== undefined && { purpose }),
  ...(payloads !== undefined && JSON.stringify(payloads).length <= payloadsMax && { payloads }),
})

const tailOf = (
  { failingSince, movedAt, upTo, ...rest }: NonNullable<Views.Trigger["tail"]>,
): Tail => ({
  ...rest,
  ...(movedAt !== undefined && { movedAt: movedAt.epochMilliseconds }),
  ...(upTo !== undefined && { upTo: upTo.epochMilliseconds }),
  ...(failingSince !== undefined && { failingSince: failingSince.epochMilliseconds }),
})

const keptOf = ({ revision, ...calendar }: Views.CalendarView) => ({
  calendar: new Calendar.Calendar(calendar),
  revision,
})

const definitionOf = (
  namespace: Namespace,
  name: string,
  shown: NonNullable<Views.TriggerVersion["definition"]>,
): TriggerDefinition => {
  const { blockingKey, graceMillis, misfire, payload, schedule, task, whileRunning } = shown
  return new TriggerDefinition({
    namespace,
    name: name as TriggerDefinition["name"],
    task,
    schedule: toSchedule(schedule),
    payload: JSON.stringify(payload),
    misfire,
    ...(graceMillis !== undefined && { graceMillis }),
    ...(blockingKey !== undefined && { blockingKey }),
    ...(whileRunning !== undefined && { whileRunning }),
  })
}

const versionOf = (
  namespace: Namespace,
  name: string,
  { definition, revision, since }: Views.TriggerVersion,
): TriggerVersion => ({
  revision,
  since: since.epochMilliseconds,
  ...(definition !== undefined && { definition: definitionOf(namespace, name, definition) }),
})

/** The number of a trigger is its storage's own, and of no use elsewhere. */
const viewOf = (
  { isPaused, name, namespace, nextSlot, revision, ...shown }: Views.Trigger,
): TriggerView => ({
  id: TriggerId.make(0),
  definition: definitionOf(namespace, name, shown),
  revision,
  isPaused,
  ...(nextSlot !== null && { cursor: nextSlot.epochMilliseconds }),
})
