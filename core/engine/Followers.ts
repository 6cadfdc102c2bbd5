/**
 * Fires the triggers that follow a task: takes the events of the partitions this process holds from
 * the outbox, judges each by its trigger, and has it recorded and fired in one step.
 *
 * Nothing here guards anything. Two of one partition share no event while it is held, and should both
 * have one, they meet at its row (T8). An event whose taker dies comes again when its time is up. A take
 * whose answer is lost is asked for again under its round, so what it took comes with the next answer (B7).
 *
 * At most `batch` events are in hand at once, and the results of at most `read` runs: that is what
 * bounds its memory, since a result may have a megabyte.
 */
import { Clock, Duration, Effect, Latch, Option, Result } from "effect"
import { type Ended, judge, readsResult } from "../domain/Following.ts"
import * as Outbox from "../domain/Outbox.ts"
import type { Policy } from "../domain/Policy.ts"
import { partitions, type TriggerName } from "../domain/Trigger.ts"
import type { RunView } from "../domain/RunView.ts"
import type { OutboxEvent, OutboxStorage } from "../services/OutboxStorage.ts"
import { Ownership } from "../services/Ownership.ts"
import { Storage } from "../services/Storage.ts"
import type { Follow, TriggerView } from "../services/TriggerStorage.ts"
import { ofOutbox, Wakeups } from "../services/Wakeups.ts"
import * as InStep from "../services/InStep.ts"
import { watcher } from "./Loops.ts"
import { payloadBytesMax } from "./Submitting.ts"
import { policyOf, specOf } from "./triggered.ts"

const batch = 100
const read = 8
/** So long others leave an event alone: whoever takes longer is dead, or its work is done twice. */
export const holdMillis = 10_000
/** So often it looks when nobody hints. */
export const pollMillis = 1000
/** A definition that is put anew while its events are judged is read so often. */
const readings = 3

export const run = Effect.gen(function* () {
  const storage = yield* Storage
  const { outbox, runs, triggers } = storage
  const ownership = yield* Ownership
  const watched = yield* watcher
  const wakeups = yield* Wakeups
  const clock = yield* Clock.Clock
  const held = new Set<number>()
  const told = yield* wakeups.subscribe([ofOutbox])

  for (let partition = 0; partition < partitions; partition++) {
    const hold = Effect.acquireUseRelease(
      Effect.sync(() => held.add(partition)),
      () => Effect.never,
      () => Effect.sync(() => held.delete(partition)),
    )
    yield* ownership.whileHeld(`triggers/${partition}`, hold).pipe(Effect.forkScoped)
  }

  /** What becomes of the event; its trigger follows a task, or did when it was told. */
  const itemOf = (
    event: OutboxEvent,
    { definition, id, revision }: TriggerView,
    policy: Policy,
    ended: RunView | undefined,
  ): Follow => {
    const { schedule } = definition
    const known: Ended = { ...event, result: ended?.result }
    const judged = schedule._tag === "After"
      ? judge(schedule, definition.payload, known, payloadBytesMax)
      : Result.fail("its trigger follows no task any more")
    return {
      event: event.event,
      trigger: id,
      revision,
      fire: Result.isFailure(judged)
        ? judged.failure
        : { ...specOf(definition, policy, 0), payload: judged.success },
    }
  }

  /** Follows the events of one trigger. Those that nobody could judge come again. */
  const followAll = Effect.fnUntraced(function* (events: ReadonlyArray<OutboxEvent>) {
    const { name, namespace } = events[0]!
    let left = events
    for (let reading = 0; reading < readings && left.length > 0; reading++) {
      const found = yield* triggers.find(namespace, name as TriggerName)
      // It was removed, and its events are with it.
      if (Option.isNone(found)) return
      const trigger = found.value
      const { schedule } = trigger.definition
      const policy = yield* policyOf(storage, trigger.definition)
      const stale: Array<OutboxEvent> = []
      const size = schedule._tag === "After" && readsResult(schedule) ? read : batch
      for (let at = 0; at < left.length; at += size) {
        const some = left.slice(at, at + size)
        const views = size === batch ? [] : yield* runs.findMany(some.map((event) => event.run))
        const byRun = new Map(views.map((view) => [view.id, view]))
        const items = some.map((event) => itemOf(event, trigger, policy, byRun.get(event.run)))
        const answers = yield* triggers.follow(items)
        const gates = new Set(
          items.flatMap(({ fire }, nth) =>
            answers[nth]!._tag === "Fired" && typeof fire !== "string" && fire.gate !== undefined
              ? [fire.gate.key]
              : []
          ),
        )
        if (gates.size > 0) yield* Effect.ignore(runs.admit([...gates]))
        stale.push(...some.filter((_, nth) => answers[nth]!._tag === "Stale"))
      }
      left = stale
    }
  })

  const monotonic = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  /** What is in hand, of each trigger by itself, and since when at the latest. */
  let taken: ReadonlyArray<ReadonlyArray<OutboxEvent>> = []
  let takenAt = -Infinity

  // Who it is decides nothing, so it takes no draw from those that a simulation repeats.
  const taker = crypto.getRandomValues(new Uint16Array(3)).reduce(
    (of, each) => of * 2 ** 16 + each,
    0,
  )
  let round = 0
  /** What was asked for and not answered: the same is asked for again, whoever holds the partitions by now. */
  let asked: Parameters<OutboxStorage["take"]>[0] | undefined

  const take = Effect.suspend(() => {
    if (asked === undefined && held.size === 0) return Effect.succeed([])
    const askedAt = monotonic()
    asked ??= {
      consumer: Outbox.triggers,
      partitions: [...held],
      limit: batch,
      forMillis: holdMillis,
      taker,
      round: ++round,
    }
    return Effect.tap(outbox.take(asked), () =>
      Effect.sync(() => {
        asked = undefined
        takenAt = askedAt
      }))
  })

  /** Follows what is there, and what could not be followed before; how much that was. */
  const work = Effect.gen(function* () {
    // Others may have the rest by now.
    const isOurs = () => monotonic() - takenAt <= holdMillis / 2
    if (taken.length === 0 || !isOurs()) {
      taken = []
      const events = yield* take
      taken = [...Map.groupBy(events, ({ name, namespace }) => `${namespace} ${name}`).values()]
    }
    const count = taken.length
    for (let [some, ...others] = taken; some !== undefined && isOurs(); [some, ...others] = taken) {
      // Should it fail, the others have their turn first.
      taken = [...others, some]
      yield* followAll(some)
      taken = others
    }
    return count
  })

  let isEnding = false
  const atRest = Latch.makeUnsafe(true)
  const pass = Effect.gen(function* () {
    if (isEnding) return yield* Effect.never
    yield* told.arm
    const count = yield* Effect.acquireUseRelease(
      Effect.sync(() => atRest.closeUnsafe()),
      () => work,
      () => Effect.sync(() => atRest.openUnsafe()),
    )
    if (count > 0) return
    yield* told.wait(Duration.millis(yield* InStep.pause(storage, pollMillis)))
  })

  yield* watched("follow tasks", pollMillis, pass).pipe(Effect.forkScoped)

  // What is in hand others would have to wait for, so it is finished first.
  yield* Effect.addFinalizer(() => {
    isEnding = true
    return Effect.timeoutOption(atRest.await, "2 seconds")
  })
})
