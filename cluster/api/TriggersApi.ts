/** Triggers, over REST. */
import { DateTime, Effect, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { type Namespace, standard } from "../../core/domain/Namespace.ts"
import { Refused } from "../../core/domain/Refused.ts"
import { TaskDefinition, type TaskName } from "../../core/domain/Task.ts"
import { partitionOf, type Schedule, type TriggerName } from "../../core/domain/Trigger.ts"
import { Triggers } from "../../core/engine/Triggers.ts"
import { Storage } from "../../core/services/Storage.ts"
import type { TriggerView } from "../../core/services/TriggerStorage.ts"
import {
  auditOf,
  backfillCutOff,
  backfilledOf,
  keyConflict,
  refusal,
  scheduleOf,
  slotOf,
  storageProblem,
  toSchedule,
  triggerChanged,
  triggerOf,
  triggerUnknown,
  unbrought,
  versionOf,
} from "./answers.ts"
import { Schedulers } from "../Schedulers.ts"
import { Api, listMax } from "./Api.ts"
import * as changes from "./changes.ts"
import { fitsTask } from "./payloads.ts"
import { preview } from "./preview.ts"
import type { ChangeTrigger } from "./Views.ts"

export const layer = HttpApiBuilder.group(
  Api,
  "triggers",
  Effect.fnUntraced(function* (handlers) {
    const triggers = yield* Triggers
    const storage = yield* Storage
    const schedulers = (yield* Schedulers) ?? Effect.succeed([])

    const unknown = (namespace: Namespace, name: string) =>
      Effect.flatMap(
        triggers.list(namespace, { limit: listMax }),
        (list) => Effect.fail(triggerUnknown(namespace, name, list)),
      )

    const setPaused = (name: string, namespace: Namespace, isPaused: boolean) =>
      (isPaused ? triggers.pause(namespace, name) : triggers.resume(namespace, name)).pipe(
        Effect.map((view) => triggerOf(view)),
        Effect.catchTag("TriggerUnknown", () => unknown(namespace, name)),
        Effect.catchTag("StorageUnavailable", storageProblem),
      )

    /** How far those of these have come that tail a source. */
    const tailsOf = (namespace: Namespace, views: ReadonlyArray<TriggerView>) =>
      views.some(({ definition }) => definition.schedule._tag === "Tail")
        ? triggers.tails(namespace)
        : Effect.succeed([])

    /** Reads it, and keeps it with what is named of it. */
    const change = Effect.fnUntraced(
      function* (namespace: Namespace, name: string, wanted: ChangeTrigger) {
        const found = yield* storage.triggers.find(namespace, name as TriggerName)
        const view = Option.getOrUndefined(found)
        const kept = view?.definition
        if (kept === undefined && !changes.saysWhen(wanted.schedule)) {
          return yield* unknown(namespace, name)
        }
        const task = wanted.task ?? kept?.task
        if (task === undefined) {
          return yield* new Refused({
            field: "task",
            reason: `there is no trigger "${name}", and a new one needs a task`,
            remedy: "Name the task that is due",
          })
        }
        const schedule = wanted.schedule === undefined ? kept!.schedule : toSchedule(
          yield* Effect.fromResult(
            changes.schedule(kept && scheduleOf(kept.schedule), wanted.schedule),
          ),
        )
        const misfire = wanted.misfire === undefined
          ? kept?.misfire
          : yield* Effect.fromResult(changes.misfire(kept?.misfire, wanted.misfire))
        const { blockingKey = kept?.blockingKey, graceMillis = kept?.graceMillis } = wanted
        const payload = wanted.payload === undefined
          ? kept?.payload ?? "{}"
          : JSON.stringify(wanted.payload)
        const isOther = wanted.payload !== undefined || wanted.task !== undefined
        if (isOther && !isPassedOn(schedule)) {
          yield* fitsTask(storage.tasks, namespace, task, JSON.parse(payload))
        }
        return yield* triggers.put({
          namespace,
          name,
          task,
          schedule,
          payload,
          misfire,
          graceMillis: graceMillis ?? undefined,
          blockingKey: blockingKey ?? undefined,
          whileRunning: wanted.whileRunning ?? kept?.whileRunning,
          // What was read is what is changed, or nothing is.
          revision: wanted.revision ?? view?.revision ?? 0,
        })
      },
    )

    const ofTask = Effect.fnUntraced(function* (namespace: Namespace, task: TaskName) {
      if (Option.isSome(yield* storage.tasks.find(namespace, task))) return {}
      return { taskUnknown: unbrought(namespace, task, yield* storage.tasks.list(namespace)) }
    })

    return handlers.handleAll({
      list: ({ query }) => {
        const namespace = query.namespace ?? standard
        return Effect.gen(function* () {
          const limit = query.limit ?? usualLimit
          // One more tells whether there is another page.
          const found = yield* triggers.list(namespace, { after: query.cursor, limit: limit + 1 })
          const items = found.slice(0, limit)
          const tails = yield* tailsOf(namespace, items)
          const next = found.length > limit ? items.at(-1)!.definition.name : null
          return { items: items.map((view) => triggerOf(view, tails)), next }
        }).pipe(Effect.catchTag("StorageUnavailable", storageProblem))
      },

      preview: ({ payload }) =>
        preview(
          payload,
          (namespace, name) =>
            Effect.map(
              storage.calendars.find(namespace, name),
              Option.map(({ calendar }) => calendar),
            ),
        ).pipe(Effect.catchTags({
          StorageUnavailable: storageProblem,
          Refused: (error) => Effect.fail(refused(error)),
        })),

      get: ({ params: { name }, query }) => {
        const namespace = query.namespace ?? standard
        return Effect.gen(function* () {
          const found = yield* storage.triggers.find(namespace, name as TriggerName)
          if (Option.isNone(found)) return yield* unknown(namespace, name)
          const records = yield* Effect.catchTag(
            triggers.records(namespace, name, query.slots ?? 20),
            "TriggerUnknown",
            () => unknown(namespace, name),
          )
          const tails = yield* tailsOf(namespace, [found.value])
          const duty = `triggers/${partitionOf(namespace, name as TriggerName)}`
          const holder = (yield* schedulers).find(({ duties }) => duties?.includes(duty))
          return {
            ...triggerOf(found.value, tails),
            slots: records.map(slotOf),
            ...(holder !== undefined && { scheduler: holder.name }),
          }
        }).pipe(Effect.catchTag("StorageUnavailable", storageProblem))
      },

      put: ({ params: { name }, payload: wanted }) => {
        const namespace = wanted.namespace ?? standard
        const schedule = toSchedule(wanted.schedule)
        const fitting = isPassedOn(schedule)
          ? Effect.void
          : fitsTask(storage.tasks, namespace, wanted.task, wanted.payload ?? {})
        return Effect.andThen(
          fitting,
          triggers.put({
            namespace,
            name,
            task: wanted.task,
            introduces: wanted.introduces &&
              new TaskDefinition({ ...wanted.introduces, namespace, name: wanted.task }),
            schedule,
            payload: JSON.stringify(wanted.payload ?? {}),
            misfire: wanted.misfire,
            graceMillis: wanted.graceMillis,
            blockingKey: wanted.blockingKey,
            whileRunning: wanted.whileRunning,
            revision: wanted.revision,
          }),
        ).pipe(
          // It is kept, whether or not the storage says more now.
          Effect.flatMap((view) =>
            Effect.map(
              Effect.orElseSucceed(ofTask(namespace, wanted.task), () => ({})),
              (said) => ({ ...triggerOf(view), ...said }),
            )
          ),
          Effect.catchTags({
            StorageUnavailable: storageProblem,
            TriggerChanged: (error) => Effect.fail(triggerChanged(error)),
            Refused: (error) => Effect.fail(refused(error)),
          }),
        )
      },

      change: ({ params: { name }, payload: wanted }) => {
        const namespace = wanted.namespace ?? standard
        return change(namespace, name, wanted).pipe(
          // Nobody said what it is based on, so it is based on what the other has made of it.
          Effect.retry({
            times: wanted.revision === undefined ? changesMax : 0,
            while: ({ _tag }) => _tag === "TriggerChanged",
          }),
          Effect.flatMap((view) =>
            Effect.map(
              ofTask(namespace, view.definition.task),
              (said) => ({ ...triggerOf(view), ...said }),
            )
          ),
          Effect.catchTags({
            StorageUnavailable: storageProblem,
            TriggerChanged: (error) => Effect.fail(triggerChanged(error)),
            Refused: (error) => Effect.fail(refused(error)),
          }),
        )
      },

      remove: ({ params: { name }, query }) => {
        const namespace = query.namespace ?? standard
        return triggers.remove(namespace, name).pipe(
          Effect.catchTag("TriggerUnknown", () => unknown(namespace, name)),
          Effect.catchTag("StorageUnavailable", storageProblem),
        )
      },

      versions: ({ params: { name }, query }) => {
        const namespace = query.namespace ?? standard
        return triggers.versions(namespace, name, query.limit ?? 20).pipe(
          Effect.map((versions) => ({ items: versions.map(versionOf) })),
          Effect.catchTag("TriggerUnknown", () => unknown(namespace, name)),
          Effect.catchTag("StorageUnavailable", storageProblem),
        )
      },

      fire: ({ headers, params: { name }, payload: wanted }) => {
        const namespace = wanted.namespace ?? standard
        const fitting = Effect.gen(function* () {
          const found = yield* storage.triggers.find(namespace, name as TriggerName)
          if (Option.isNone(found) || wanted.payload === undefined) return
          const { task } = found.value.definition
          yield* fitsTask(storage.tasks, namespace, task, wanted.payload)
        })
        return Effect.andThen(
          fitting,
          triggers.fire(namespace, name, {
            request: headers["idempotency-key"] ?? crypto.randomUUID(),
            by: wanted.by,
            payload: wanted.payload === undefined ? undefined : JSON.stringify(wanted.payload),
          }),
        ).pipe(
          Effect.map(({ isNew, run }) =>
            isNew ? { run, isNew: true as const } : { run, isNew: false as const }
          ),
          Effect.catchTag("TriggerUnknown", () => unknown(namespace, name)),
          Effect.catchTags({
            StorageUnavailable: storageProblem,
            Refused: (error) => Effect.fail(refused(error)),
            KeyConflict: ({ idempotencyKey, run }) => Effect.fail(keyConflict(idempotencyKey, run)),
          }),
        )
      },

      backfill: ({ params: { name }, payload: wanted }) => {
        const namespace = wanted.namespace ?? standard
        const request = wanted.request ?? crypto.randomUUID()
        const to = wanted.to === undefined
          ? storage.now
          : Effect.succeed(DateTime.toEpochMillis(wanted.to))
        return Effect.flatMap(to, (to) =>
          triggers.backfill(namespace, name, {
            request,
            by: wanted.by,
            from: DateTime.toEpochMillis(wanted.from),
            to,
            max: wanted.max,
            pace: wanted.paceMillis,
            isDry: wanted.isDry,
          })).pipe(
            Effect.map((backfilled) => backfilledOf(request, backfilled)),
            Effect.catchTag("TriggerUnknown", () => unknown(namespace, name)),
            Effect.catchTags({
              StorageUnavailable: storageProblem,
              BackfillCutOff: (error) => Effect.fail(backfillCutOff(name, error)),
              Refused: (error) => Effect.fail(refused(error)),
            }),
          )
      },

      cancelBackfill: ({ params: { name, request }, query }) => {
        const namespace = query.namespace ?? standard
        return triggers.cancelBackfill(namespace, name, request, query).pipe(
          Effect.catchTag("TriggerUnknown", () => unknown(namespace, name)),
          Effect.catchTags({
            StorageUnavailable: storageProblem,
            Refused: (error) => Effect.fail(refused(error)),
          }),
        )
      },

      audit: ({ query }) =>
        triggers.audit(query.namespace ?? standard, query.limit ?? 50).pipe(
          Effect.map(auditOf),
          Effect.catchTag("StorageUnavailable", storageProblem),
        ),

      pause: ({ params: { name }, query }) => setPaused(name, query.namespace ?? standard, true),
      resume: ({ params: { name }, query }) => setPaused(name, query.namespace ?? standard, false),
    })
  }),
)

const usualLimit = 50

/** Of those that change a trigger at once one is done, and the others look again, so often. */
const changesMax = 10

/** What it follows, or tails, gives the payload of each run. */
const isPassedOn = (schedule: Schedule): boolean =>
  schedule._tag === "Tail" || (schedule._tag === "After" && schedule.passing !== undefined)

/** The domain's names of what a schedule is made of, as the API has them. */
const fields: Readonly<Record<string, string>> = {
  expression: "schedule.cron",
  zone: "schedule.zone",
  calendar: "schedule.calendar",
  freeDay: "schedule.freeDay",
  end: "schedule.end",
  rest: "calendar.rest",
  holidays: "calendar.holidays",
  workdays: "calendar.workdays",
}

const refused = (error: Refused) => refusal(error, fields[error.field] ?? error.field)
