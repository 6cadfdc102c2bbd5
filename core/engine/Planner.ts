/**
 * Fires the triggers of the partitions that this process holds.
 *
 * It reads them a little ahead, sleeps until the earliest slot and fires all that are due then in one
 * step. It aims by the storage clock: it knows the difference between that and its own monotonic one from
 * each read, to within the time the read took, and storage refuses what comes early and says how long
 * remains. A storage that can do the work before the instant (T18) is handed it early enough for that.
 *
 * Nothing here guards anything. Two planners of one partition, or one that slept through its
 * loss, meet at the unique slot (T1), and the slower one reads again.
 */
import { Clock, Duration, Effect, Option } from "effect"
import type * as Calendar from "../domain/Calendar.ts"
import type { Namespace } from "../domain/Namespace.ts"
import * as Permanent from "../domain/Permanent.ts"
import type { Policy } from "../domain/Task.ts"
import * as Trigger from "../domain/Trigger.ts"
import type { KeptCalendar } from "../services/CalendarStorage.ts"
import * as InStep from "../services/InStep.ts"
import { Ownership } from "../services/Ownership.ts"
import * as Placer from "../services/Placer.ts"
import { Storage } from "../services/Storage.ts"
import type { Fired, Firing, Stopped, TriggerView } from "../services/TriggerStorage.ts"
import * as Wakeups from "../services/Wakeups.ts"
import { watcher } from "./Loops.ts"
import { policiesOf, specOf } from "./triggered.ts"

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

export const run = Effect.gen(function* () {
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

  /** Starts the runs that are due of those that have stopped. How long the next one has to wait. */
  const startDue = Effect.fnUntraced(function* (now: number, triggers: ReadonlyArray<Stopped>) {
    const policies = policiesOf(storage)
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
    return soonest
  })

  /**
   * Starts the next run of each permanent trigger that has none, once it is due. It goes by itself: a pass
   * over the slots of others lasts for as long as they fire, and meanwhile runs end. It goes through all of
   * them page by page: those of the first pages may be waiting out long delays.
   */
  const restart = Effect.gen(function* () {
    yield* turned.arm
    let soonest = Infinity
    let after: Trigger.TriggerId | undefined
    do {
      const { now, triggers } = yield* storage.triggers.stopped([...held], batch, after)
      soonest = Math.min(soonest, yield* startDue(now, triggers))
      after = triggers.length < batch ? undefined : triggers.at(-1)!.view.id
    } while (after !== undefined)
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
