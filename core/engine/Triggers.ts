/**
 * Keeps triggers, with the calendars they name. They are fired by the `Planner`; those that follow a task
 * by `Followers`, those that tail a source by `Tails`; and `SlotAuditor` looks whether all were.
 */
import {
  Context,
  Effect,
  Equal,
  Layer,
  Option,
  Result,
  Schema,
  SchemaIssue,
  type Scope,
} from "effect"
import * as Calendar from "../domain/Calendar.ts"
import type { Namespace } from "../domain/Namespace.ts"
import * as Objection from "../domain/Objection.ts"
import { Refused } from "../domain/Refused.ts"
import { type TaskDefinition, TaskName } from "../domain/Task.ts"
import type { RunId } from "../domain/RunId.ts"
import * as Trigger from "../domain/Trigger.ts"
import * as Turn from "../domain/Turn.ts"
import type { CalendarStorage, KeptCalendar } from "../services/CalendarStorage.ts"
import type { Ownership } from "../services/Ownership.ts"
import * as Placer from "../services/Placer.ts"
import { refused, Required } from "../services/Required.ts"
import type { Source } from "../services/Source.ts"
import { Storage } from "../services/Storage.ts"
import type { StorageUnavailable } from "../services/StorageUnavailable.ts"
import {
  type SlotRecord,
  type TailView,
  type TriggerChanged,
  type TriggerPage,
  type TriggerVersion,
  type TriggerView,
  versionsMax,
} from "../services/TriggerStorage.ts"
import type * as Wakeups from "../services/Wakeups.ts"
import {
  type Asking,
  type Backfill,
  type BackfillCutOff,
  type Backfilled,
  makeAsking,
} from "./Asking.ts"
import * as Followers from "./Followers.ts"
import * as Planner from "./Planner.ts"
import type { OrderOptions } from "./Scheduler.ts"
import { auditSlots, type SlotAuditReport, type TriggersOptions } from "./SlotAuditor.ts"
import type { KeyConflict } from "./Submitting.ts"
import * as Tails from "./Tails.ts"

export interface TriggerInput {
  readonly namespace: Namespace
  readonly name: string
  readonly task: string
  readonly schedule: Trigger.Schedule
  /** What is kept of the task if nobody has brought it yet: where this comes from it is known. */
  readonly introduces?: TaskDefinition | undefined
  /** JSON text. */
  readonly payload: string
  readonly misfire?: Trigger.Misfire | undefined
  readonly graceMillis?: number | undefined
  readonly blockingKey?: string | undefined
  readonly whileRunning?: Trigger.WhileRunning | undefined
  /** Only if the kept trigger is at this revision; `0`: only if there is none. */
  readonly revision?: number | undefined
}

export class TriggerUnknown extends Schema.TaggedError<TriggerUnknown>()("TriggerUnknown", {
  name: Schema.String,
}) {
  override get message() {
    return `there is no trigger "${this.name}"`
  }
}

export class CalendarUnknown extends Schema.TaggedError<CalendarUnknown>()("CalendarUnknown", {
  name: Schema.String,
}) {
  override get message() {
    return `there is no calendar "${this.name}"`
  }
}

/** The calendars that triggers name. */
export interface Calendars {
  /** Keeps a calendar; the triggers that name it follow it from now on. */
  readonly put: (
    input: Calendar.CalendarInput,
  ) => Effect.Effect<KeptCalendar, Refused | StorageUnavailable>
  readonly find: (
    namespace: Namespace,
    name: string,
  ) => Effect.Effect<KeptCalendar, CalendarUnknown | StorageUnavailable>
  readonly list: CalendarStorage["list"]
  /** Refused while a trigger names it. */
  readonly remove: (
    namespace: Namespace,
    name: string,
  ) => Effect.Effect<void, CalendarUnknown | Refused | StorageUnavailable>
}

export class Triggers extends Context.Service<Triggers, {
  readonly calendars: Calendars
  /** Keeps a trigger; equal to the kept one, it changes nothing. */
  readonly put: (
    input: TriggerInput,
  ) => Effect.Effect<TriggerView, Refused | TriggerChanged | StorageUnavailable>
  /** Keeps a trigger, and reads the source that it tails for as long as the scope lives. */
  readonly tail: (
    input: TriggerInput,
    source: Source,
    judge: Tails.Judge,
  ) => Effect.Effect<
    TriggerView,
    Refused | TriggerChanged | StorageUnavailable,
    Scope.Scope
  >
  readonly remove: (
    namespace: Namespace,
    name: string,
  ) => Effect.Effect<void, TriggerUnknown | StorageUnavailable>
  /** How far those have come that tail a source. */
  readonly tails: (
    namespace: Namespace,
  ) => Effect.Effect<ReadonlyArray<TailView>, StorageUnavailable>
  /** From its answer on no slot fires. The run of a permanent trigger is cancelled. */
  readonly pause: (
    namespace: Namespace,
    name: string,
  ) => Effect.Effect<TriggerView, TriggerUnknown | StorageUnavailable>
  readonly resume: (
    namespace: Namespace,
    name: string,
  ) => Effect.Effect<TriggerView, TriggerUnknown | StorageUnavailable>
  /** By name: `listedMax` of them, or those of a page. */
  readonly list: (
    namespace: Namespace,
    page?: TriggerPage,
  ) => Effect.Effect<ReadonlyArray<TriggerView>, StorageUnavailable>
  /** How its latest slots ended, the latest first. */
  readonly records: (
    namespace: Namespace,
    name: string,
    limit: number,
  ) => Effect.Effect<ReadonlyArray<SlotRecord>, TriggerUnknown | StorageUnavailable>
  /** Its definitions, the latest first. */
  readonly versions: (
    namespace: Namespace,
    name: string,
    limit: number,
  ) => Effect.Effect<ReadonlyArray<TriggerVersion>, TriggerUnknown | StorageUnavailable>
  /** Makes a run now, whatever the rule says, paused or not; once for each request. */
  readonly fire: (
    namespace: Namespace,
    name: string,
    asking: Asking,
  ) => Effect.Effect<
    { readonly run: RunId; readonly isNew: boolean },
    TriggerUnknown | Refused | KeyConflict | StorageUnavailable
  >
  /**
   * Makes a run of each slot in a range that has not fired. To repeat it is to go on with it. Refused,
   * it has filled in none.
   */
  readonly backfill: (
    namespace: Namespace,
    name: string,
    backfill: Backfill,
  ) => Effect.Effect<
    Backfilled,
    TriggerUnknown | Refused | BackfillCutOff | StorageUnavailable
  >
  /** Cancels those runs of a backfill that have not ended; how many. */
  readonly cancelBackfill: (
    namespace: Namespace,
    name: string,
    request: string,
    options?: OrderOptions,
  ) => Effect.Effect<
    { readonly confirmed: number; readonly requested: number; readonly ended: number },
    TriggerUnknown | Refused | StorageUnavailable
  >
  /** What the standing audit of slots has found, the latest first, and how far it has come. */
  readonly audit: (
    namespace: Namespace,
    limit: number,
  ) => Effect.Effect<SlotAuditReport, StorageUnavailable>
}>()("belfry/core/engine/Triggers") {
  /** Keeps triggers, and leaves the firing to others. */
  static readonly layerClient: Layer.Layer<Triggers, never, Storage> = Layer.effect(
    Triggers,
    Effect.suspend(() => makeClient),
  )

  static readonly layerWith = (
    options: TriggersOptions,
  ): Layer.Layer<Triggers, never, Storage | Wakeups.Wakeups | Ownership> =>
    Layer.mergeAll(
      Triggers.layerClient,
      Layer.effectDiscard(Planner.run),
      Layer.effectDiscard(Followers.run),
      Layer.effectDiscard(Tails.run),
      Layer.effectDiscard(auditSlots(options)),
    )

  static readonly layer: Layer.Layer<Triggers, never, Storage | Wakeups.Wakeups | Ownership> = Layer
    .suspend(() => Triggers.layerWith({}))
}

const makeClient = Effect.gen(function* () {
  const storage = yield* Storage
  const { audit, calendars, now, runs, tasks, triggers } = storage
  const required = yield* Required
  const placer = Placer.make(storage)
  const asking = makeAsking(storage)
  const tailing = yield* Tails.make

  const find = Effect.fnUntraced(function* (namespace: Namespace, name: string) {
    const found = yield* calendars.find(namespace, name as Calendar.CalendarName)
    return Option.isSome(found) ? found.value : yield* new CalendarUnknown({ name })
  })

  const known = <A>(name: string, answer: Option.Option<A>) =>
    Option.isSome(answer) ? Effect.succeed(answer.value) : Effect.fail(new TriggerUnknown({ name }))

  // A name that breaks the rules names no trigger, and no storage need be asked.
  const named = (name: string) =>
    isTriggerName(name) ? Effect.succeed(name) : Effect.fail(new TriggerUnknown({ name }))

  const findTrigger = Effect.fnUntraced(function* (namespace: Namespace, name: string) {
    return yield* known(name, yield* triggers.find(namespace, yield* named(name)))
  })

  const pause = Effect.fnUntraced(
    function* (namespace: Namespace, name: string, isPaused: boolean) {
      return yield* known(name, yield* triggers.pause(namespace, yield* named(name), isPaused))
    },
  )

  /** What a paused trigger has let pass so far, which is recorded when it is resumed. */
  const passedBy = Effect.fnUntraced(function* (view: TriggerView) {
    const { cursor, definition: { namespace, schedule }, isPaused, revision } = view
    const name = Trigger.calendarOf(schedule)
    const calendar = name && Option.getOrUndefined(yield* calendars.find(namespace, name))?.calendar
    const at = yield* now
    const { closed } = Turn.resumed({ schedule, calendar, cursor, isPaused }, at, undefined)
    if (closed === undefined) return undefined
    const record: SlotRecord = {
      slot: closed.from,
      through: closed.through,
      outcome: "skipped",
      reason: closed.reason,
      latenessMillis: at - closed.through,
      revision,
    }
    return record
  })

  /** Nobody else would end the run of a permanent trigger that starts no other. */
  const stop = Effect.fnUntraced(function* ({ definition, id }: TriggerView) {
    if (definition.schedule._tag !== "Permanent") return
    const [latest] = yield* triggers.records(id, 1)
    yield* cancel(latest)
  })

  const cancel = Effect.fnUntraced(function* (record: SlotRecord | undefined) {
    if (record?.run === undefined) return
    const cancelled = yield* runs.cancel(record.run)
    const freed = Option.isSome(cancelled) ? cancelled.value.freed : []
    if (freed.length > 0) yield* Effect.ignore(placer.admit(freed))
  })

  /**
   * As `stop`, of a trigger that was permanent until it was changed. It goes by what is kept, so that it
   * can be asked for again when no answer came.
   */
  const stopBefore = Effect.fnUntraced(function* ({ definition, id, revision }: TriggerView) {
    if (revision === 1 || definition.schedule._tag === "Permanent") return
    const isPermanent = (version: TriggerVersion | undefined) =>
      version?.definition?.schedule._tag === "Permanent"
    const [, before] = yield* triggers.versions(id, 2)
    if (!isPermanent(before)) return
    const [latest] = yield* triggers.records(id, 1)
    const versions = yield* triggers.versions(id, versionsMax)
    if (isPermanent(versions.find(({ revision }) => revision === latest?.revision))) {
      yield* cancel(latest)
    }
  })

  /** So that from its first slot on the policy of the task holds, and not the usual one. */
  const introduce = Effect.fnUntraced(function* (definition: TaskDefinition) {
    const found = yield* tasks.find(definition.namespace, definition.name)
    if (Option.isSome(found)) return
    const flaw = refused(required, [definition])
    if (flaw !== undefined) return yield* flaw
    yield* tasks.introduce(definition)
  })

  const put = Effect.fnUntraced(function* (input: TriggerInput) {
    const definition = yield* defined(input)
    const { schedule } = definition
    if (Trigger.isCircle(definition)) return yield* circle
    if (Trigger.isByEvent(schedule) && (input.whileRunning ?? "allow") !== "allow") {
      return yield* notWhileRunning
    }
    const name = Trigger.calendarOf(schedule)
    const calendar = name === undefined
      ? undefined
      : Option.getOrUndefined(yield* calendars.find(input.namespace, name))?.calendar
    const at = yield* now
    const checked = Trigger.check(schedule, at, calendar)
    if (Result.isFailure(checked)) {
      // One that is kept as it is may be over by now: whoever brings it again is not to blame.
      const known = Option.getOrUndefined(yield* triggers.find(input.namespace, definition.name))
      const isKept = known !== undefined &&
        Equal.equals(known.definition, Trigger.anchored(definition, known.definition, at))
      return isKept ? known : yield* checked.failure
    }
    if (schedule._tag === "Tail" && typeof schedule.source !== "string") {
      yield* Tails.check(storage, schedule.source)
    }
    if (input.introduces !== undefined) yield* introduce(input.introduces)
    return yield* Effect.tap(triggers.put(definition, input.revision), stopBefore)
  })

  return Triggers.of({
    calendars: {
      put: (input) =>
        Effect.flatMap(Effect.fromResult(Calendar.make(input)), (made) => calendars.put(made)),
      find,
      list: calendars.list,
      remove: Effect.fnUntraced(function* (namespace, name) {
        const isGone = yield* calendars.remove(namespace, name as Calendar.CalendarName)
        if (!isGone) return yield* new CalendarUnknown({ name })
      }),
    },
    put,
    tail: Effect.fnUntraced(function* (input, source, judge) {
      const view = yield* put(input)
      const { name, namespace } = view.definition
      yield* Effect.forkScoped(tailing(namespace, name, source, judge))
      return view
    }),
    tails: (namespace) => triggers.tails({ namespace }),
    remove: Effect.fnUntraced(function* (namespace, name) {
      const view = yield* findTrigger(namespace, name)
      // Once it is removed nobody finds it to stop its run. It shall start none meanwhile, either.
      if (view.definition.schedule._tag === "Permanent") {
        yield* stop(yield* pause(namespace, name, true))
      }
      const isGone = yield* triggers.remove(namespace, view.definition.name)
      if (!isGone) return yield* new TriggerUnknown({ name })
    }),
    pause: (namespace, name) => Effect.tap(pause(namespace, name, true), stop),
    resume: (namespace, name) => pause(namespace, name, false),
    list: triggers.list,
    records: Effect.fnUntraced(function* (namespace, name, limit) {
      const view = yield* findTrigger(namespace, name)
      const records = yield* triggers.records(view.id, limit)
      const passed = view.isPaused ? yield* passedBy(view) : undefined
      return passed === undefined ? records : [passed, ...records].slice(0, limit)
    }),
    versions: (namespace, name, limit) =>
      Effect.flatMap(findTrigger(namespace, name), ({ id }) => triggers.versions(id, limit)),
    fire: (namespace, name, request) => asking.fire(findTrigger(namespace, name), request),
    backfill: (namespace, name, range) => asking.backfill(findTrigger(namespace, name), range),
    cancelBackfill: (namespace, name, request, { by } = {}) =>
      Effect.flatMap(
        findTrigger(namespace, name),
        ({ id }) => asking.cancelBackfill(id, request, by),
      ),
    audit: Effect.fnUntraced(function* (namespace, limit) {
      const { now, place } = yield* audit.place
      return { now, judgedUpTo: place.from, findings: yield* audit.findings(namespace, limit) }
    }),
  })
})

const isTriggerName = Schema.is(Trigger.TriggerName)
const decodeDefinition = Schema.decodeUnknownEffect(Schema.toType(Trigger.TriggerDefinition))

export const defined = (input: TriggerInput): Effect.Effect<Trigger.TriggerDefinition, Refused> => {
  const {
    blockingKey,
    graceMillis,
    introduces: _,
    misfire,
    revision: __,
    whileRunning,
    ...rest
  } = input
  return Effect.suspend(() =>
    Effect.try({
      try: () =>
        new Trigger.TriggerDefinition({
          ...rest,
          name: rest.name as Trigger.TriggerName,
          task: TaskName.make(rest.task),
          misfire: misfire ?? { _tag: "Once" },
          ...(graceMillis !== undefined && { graceMillis }),
          ...(blockingKey !== undefined && { blockingKey }),
          ...(whileRunning !== undefined && { whileRunning }),
        }),
      catch: (cause) => cause,
    })
  ).pipe(
    Effect.flatMap((made) => decodeDefinition(made)),
    Effect.mapError(refusalOfDefinition),
  )
}

/** By its field, as what made it tells. */
const refusalOfDefinition = (cause: unknown): Refused => {
  const issue = Schema.isSchemaError(cause)
    ? cause.issue
    : cause instanceof Error && SchemaIssue.isIssue(cause.cause)
    ? cause.cause
    : undefined
  if (issue === undefined) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    return new Refused({ field: "trigger", reason, remedy: "Mend it as the reason says" })
  }
  const { path, reason, remedy } = Objection.first(issue)
  return new Refused({ field: Objection.fieldOf(path) || "trigger", reason, remedy })
}

const circle = new Refused({
  field: "schedule.after",
  reason: "every run of the task would make another, without end",
  remedy: "Say with `when` what its result must be, or name another task",
})

const notWhileRunning = new Refused({
  field: "whileRunning",
  reason: "a trigger that follows a task or tails a source fires for each event",
  remedy: "Let the task block, so that its runs wait for each other or are discarded",
})
