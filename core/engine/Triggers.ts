/**
 * Keeps triggers, with the calendars they name, and fires them.
 *
 * The planner reads the triggers of the partitions this process holds a little ahead, sleeps until
 * the earliest slot and fires all that are due then in one step. It aims by the storage clock: it
 * knows the difference between that and its own monotonic one from each read, to within the time
 * the read took, and storage refuses what comes early and says how long remains. A storage that can do
 * the work before the instant (T18) is handed it early enough for that.
 *
 * Nothing here guards anything. Two planners of one partition, or one that slept through its
 * loss, meet at the unique slot (T1), and the slower one reads again.
 */
import {
  Clock,
  Context,
  Duration,
  Effect,
  Equal,
  Layer,
  Option,
  Result,
  Schema,
  type Scope,
} from "effect"
import * as Calendar from "../domain/Calendar.ts"
import type { Namespace } from "../domain/Namespace.ts"
import { Refused } from "../domain/Refused.ts"
import * as Permanent from "../domain/Permanent.ts"
import { type Policy, type TaskDefinition, TaskName } from "../domain/Task.ts"
import type { RunId } from "../domain/RunId.ts"
import * as Trigger from "../domain/Trigger.ts"
import * as Turn from "../domain/Turn.ts"
import type { CalendarStorage, KeptCalendar } from "../services/CalendarStorage.ts"
import { Ownership } from "../services/Ownership.ts"
import * as Placer from "../services/Placer.ts"
import { refused, Required } from "../services/Required.ts"
import type { Source } from "../services/Source.ts"
import { Storage } from "../services/Storage.ts"
import type { StorageUnavailable } from "../services/StorageUnavailable.ts"
import {
  type Fired,
  type Firing,
  type SlotRecord,
  type TailView,
  type TriggerChanged,
  type TriggerPage,
  type TriggerVersion,
  type TriggerView,
  versionsMax,
} from "../services/TriggerStorage.ts"
import * as Wakeups from "../services/Wakeups.ts"
import {
  type Asking,
  type Backfill,
  type BackfillCutOff,
  type Backfilled,
  makeAsking,
} from "./Asking.ts"
import * as Followers from "./Followers.ts"
import * as InStep from "../services/InStep.ts"
import { watcher } from "./Loops.ts"
import type { OrderOptions } from "./Scheduler.ts"
import type { KeyConflict } from "./Submitting.ts"
import { auditSlots, type SlotAuditReport, type TriggersOptions } from "./SlotAuditor.ts"
import * as Tails from "./Tails.ts"
import { policiesOf, specOf } from "./triggered.ts"

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
      Layer.effectDiscard(Effect.suspend(() => plan)),
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
    Effect.mapError((cause) =>
      new Refused({
        field: "trigger",
        reason: cause instanceof Error ? cause.message : String(cause),
        remedy: "Mend the named field",
      })
    ),
  )
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

/** So far ahead triggers are read; so often at least they are read again. */
const horizonMillis = 2000
/** So often at least somebody looks whether runs of permanent triggers have ended. */
const endsMillis = 1000
/** And no more often than so, however many are due soon. */
const looksApartMillis = 250
const batch = 1000
const calendarsMax = 1000
/** So many are fired in one step, unless it is done before the instant. */
const together = 250
/** So long before its instant a storage is handed what it can do before. */
const leadMillis = (count: number) => 5 + count / 5
/** An answer that takes longer tells too little of the time, and is asked for once more. */
const errorMillis = 500
/** Later than this by so many milliseconds, what was worked out before may no longer be so. */
const overslept = 20

/** A trigger that is due, with what decides about it. */
interface Due {
  readonly view: TriggerView
  readonly policy: Policy
  readonly calendar: Calendar.Calendar | undefined
}

const plan = Effect.gen(function* () {
  const storage = yield* Storage
  const placer = Placer.make(storage)
  const ownership = yield* Ownership
  const watched = yield* watcher
  const wakeups = yield* Wakeups.Wakeups
  const clock = yield* Clock.Clock
  const held = new Set<number>()
  /** As last read: one that is still the same keeps what was worked out from it. */
  const calendars = new Map<string, KeptCalendar>()
  const changed = yield* wakeups.subscribe([Wakeups.ofTriggers])
  const turned = yield* wakeups.subscribe([Wakeups.ofTriggers])

  const monotonic = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  for (let partition = 0; partition < Trigger.partitions; partition++) {
    const hold = Effect.acquireUseRelease(
      Effect.sync(() => held.add(partition)),
      () => Effect.never,
      () => Effect.sync(() => held.delete(partition)),
    )
    yield* ownership.whileHeld(`triggers/${partition}`, hold).pipe(Effect.forkScoped)
  }

  /**
   * The calendar that a trigger names, read once per pass. It is read after the trigger, so it is not
   * older, and what is decided by a newer one is stale when the trigger is (C4).
   */
  const calendarOf = Effect.fnUntraced(function* (
    read: Map<string, Calendar.Calendar | undefined>,
    namespace: Namespace,
    name: Calendar.CalendarName,
  ) {
    const key = `${namespace} ${name}`
    if (read.has(key)) return read.get(key)
    const found = Option.getOrUndefined(yield* storage.calendars.find(namespace, name))
    const known = calendars.get(key)
    const kept = found?.revision === known?.revision ? known : found
    if (calendars.size >= calendarsMax) calendars.clear()
    if (kept === undefined) calendars.delete(key)
    else calendars.set(key, kept)
    read.set(key, kept?.calendar)
    return kept?.calendar
  })

  const firing = (
    { calendar, policy, view: { cursor, definition, id, revision } }: Due,
    now: number,
  ): Firing => {
    const { next, passed, slot } = Trigger.step(definition, cursor!, now, calendar)
    const due = slot === undefined ? now : Trigger.dueOf(definition, slot, next)
    return {
      trigger: id,
      revision,
      passed,
      fire: slot === undefined ? undefined : {
        slot,
        spec: specOf(definition, policy, Math.max(0, Math.ceil(due - now))),
        whileRunning: definition.whileRunning,
      },
      next,
    }
  }

  /** Whoever waits at a gate for what was fired passes it now, if it may. */
  const admit = (items: ReadonlyArray<Firing>, answers: ReadonlyArray<Fired>) => {
    const gates = new Set(
      items.flatMap(({ fire }, at) =>
        answers[at]?._tag === "Fired" && fire?.spec.gate !== undefined ? [fire.spec.gate.key] : []
      ),
    )
    return gates.size > 0 ? Effect.ignore(placer.admit(gates)) : Effect.void
  }

  /**
   * Many that are due together are fired in parts, so that executors carry the first ones out while
   * the others are being fired; those that are handed over early in one, as they fire at one instant.
   */
  const fire = Effect.fnUntraced(function* (items: ReadonlyArray<Firing>, isEarly: boolean) {
    const parts: Array<ReadonlyArray<Firing>> = []
    const size = isEarly ? batch : together
    for (let from = 0; from < items.length; from += size) {
      parts.push(items.slice(from, from + size))
    }
    const answers = yield* Effect.forEach(
      parts,
      (part) => Effect.tap(storage.triggers.fire(part), (fired) => admit(part, fired)),
      { concurrency: 2 },
    )
    return answers.flat()
  })

  /**
   * What the storage's clock says, told from our monotonic one, and by how much that may be early:
   * the clock was read somewhere between the question and the answer.
   */
  const since = (now: number, at: number) => () => now + (monotonic() - at)

  const look = Effect.gen(function* () {
    const sent = monotonic()
    const now = yield* storage.now
    const answered = monotonic()
    return { error: answered - sent, storageNow: since(now, answered) }
  })

  /** Who was paused before the answer came would wait for as long again. */
  const aim = Effect.flatMap(
    look,
    (first) => first.error > errorMillis ? look : Effect.succeed(first),
  )

  /**
   * Starts the next run of each permanent trigger that has none, once it is due. It goes by itself: a pass
   * over the slots of others lasts for as long as they fire, and meanwhile runs end.
   */
  const restart = Effect.gen(function* () {
    yield* turned.arm
    const policies = policiesOf(storage)
    const { now, triggers } = yield* storage.triggers.stopped([...held], batch)
    const items: Array<Firing> = []
    let soonest = Infinity
    for (const { endedAt, lives, view: { cursor, definition, id, revision } } of triggers) {
      const { schedule } = definition
      if (schedule._tag !== "Permanent") continue
      const slot = Permanent.next(schedule, cursor ?? 0, lives, endedAt)
      if (slot > now) {
        soonest = Math.min(soonest, slot - now)
        continue
      }
      const spec = specOf(definition, yield* policies.of(definition), 0)
      items.push({
        trigger: id,
        revision,
        passed: undefined,
        fire: { slot, spec },
        next: undefined,
      })
    }
    if (items.length > 0) yield* admit(items, yield* storage.triggers.fire(items))
    const most = yield* InStep.pause(storage, endsMillis)
    const pause = Math.min(most, Math.max(soonest, looksApartMillis))
    yield* turned.wait(Duration.millis(Math.ceil(pause)))
  })

  const pass = Effect.gen(function* () {
    yield* changed.arm
    const policies = policiesOf(storage)
    const { now: from, triggers } = yield* storage.triggers.due([...held], horizonMillis, batch)
    const readAt = monotonic()
    const until = from + horizonMillis
    // To look again one need not aim.
    const { error, storageNow } = triggers.length > 0
      ? yield* aim
      : { error: 0, storageNow: since(from, readAt) }

    const read = new Map<string, Calendar.Calendar | undefined>()
    let waiting = triggers
    while (waiting.length > 0) {
      const earliest = Math.min(...waiting.map(({ cursor }) => cursor!))
      if (earliest >= until) break
      let due: Array<Due> = []
      for (const view of waiting) {
        if (view.cursor! > earliest) continue
        const { definition } = view
        const name = Trigger.calendarOf(definition.schedule)
        const calendar = name && (yield* calendarOf(read, definition.namespace, name))
        // It was removed meanwhile, and then the trigger was before.
        if (name !== undefined && calendar === undefined) continue
        due.push({ view, calendar, policy: yield* policies.of(definition) })
      }
      // What can be worked out before the instant does not make it later.
      let items = due.map((each) => firing(each, Math.max(earliest, storageNow())))
      const lead = Math.min(storage.triggers.aheadMillis, leadMillis(due.length))
      const pause = earliest + error - lead - storageNow()
      // The clock was set back since they were read.
      if (pause > horizonMillis + error) return
      if (pause > 0) {
        const isChanged = yield* changed.wait(Duration.millis(Math.ceil(pause)))
        if (isChanged) return
      }
      // All that it was to fire is another's by now.
      if (held.size === 0) return
      // An executor may have brought a task since it was looked for.
      const isBrought = yield* policies.again
      if (isBrought) {
        due = yield* Effect.forEach(
          due,
          (each) =>
            Effect.map(policies.of(each.view.definition), (policy) => ({ ...each, policy })),
        )
      }
      if (isBrought || storageNow() - earliest > overslept) {
        items = due.map((each) => firing(each, Math.max(earliest, storageNow())))
      }
      const answers = yield* fire(items, storageNow() + error < earliest)
      const next: Array<TriggerView> = waiting.filter(({ cursor }) => cursor! > earliest)
      for (const [at, answer] of answers.entries()) {
        const { view } = due[at]!
        const moved = { ...view, cursor: items[at]!.next }
        if (answer._tag === "Fired" || answer._tag === "Recorded") {
          if (moved.cursor !== undefined) next.push(moved as TriggerView)
        } else if (answer._tag === "NotDue") {
          // The clock was set back, and what was read is no longer so.
          if (answer.remainingMillis > horizonMillis) return
          yield* Effect.sleep(Math.ceil(answer.remainingMillis))
          next.push(view)
        }
        // `Already` and `Stale`: what was read is no longer so; the next pass reads anew.
      }
      waiting = next
    }
    if (triggers.length === batch) return
    const most = Math.max(1, until - storageNow() - horizonMillis / 2)
    yield* changed.wait(Duration.millis(yield* InStep.pause(storage, most)))
  })

  yield* watched("fire triggers", horizonMillis, pass).pipe(Effect.forkScoped)
  yield* watched("start permanent runs", endsMillis, restart).pipe(Effect.forkScoped)
})
