/**
 * Reads the sources that triggers tail, and has each entry fired.
 *
 * Nothing here guards anything. Several may read one source at once, as the instances of one program
 * do: the position is changed together with the runs, by whoever comes first (T16). The others find
 * themselves behind, stand by for a while, and read again from where it is by then.
 *
 * A reading has at most `batch` entries, and none is read while there is no room in the backlog of the
 * task. A source that cannot be read is tried again after a while that doubles, up to a minute; why is
 * kept with the position.
 */
import { Clock, Duration, Effect, FiberMap, Random, Result } from "effect"
import { unmet } from "../domain/Condition.ts"
import type { Namespace } from "../domain/Namespace.ts"
import { Refused } from "../domain/Refused.ts"
import * as Tailing from "../domain/Tailing.ts"
import * as Text from "../domain/Text.ts"
import { usualPolicy } from "../domain/Task.ts"
import {
  partitions,
  type Schedule,
  type TriggerDefinition,
  type TriggerName,
} from "../domain/Trigger.ts"
import * as Waiting from "../domain/Waiting.ts"
import { Ownership } from "../services/Ownership.ts"
import * as Placer from "../services/Placer.ts"
import {
  type Entry,
  type Reader,
  type Reading,
  type Source,
  SourceUnavailable,
} from "../services/Source.ts"
import { Storage } from "../services/Storage.ts"
import type { StorageUnavailable } from "../services/StorageUnavailable.ts"
import type { Tailing as Item } from "../services/TriggerStorage.ts"
import * as Backlogs from "./Backlogs.ts"
import * as InStep from "../services/InStep.ts"
import { watcher } from "./Loops.ts"
import { Spell } from "./Spell.ts"
import { payloadBytesMax } from "./Submitting.ts"
import { policyOf, specOf } from "./triggered.ts"

type TailSchedule = Extract<Schedule, { readonly _tag: "Tail" }>

/** What becomes of an entry: the payload of its run; nothing, since no run is wanted; or why not. */
export type Judge = (
  value: unknown,
) => Effect.Effect<Result.Result<Wanted | undefined, string>>

export interface Wanted {
  /** JSON text. */
  readonly payload: string
  readonly blockingKey?: string | undefined
}

/** Each entry is the payload as it is. */
const asItIs: Judge = (value) =>
  Effect.succeed(Result.succeed({ payload: JSON.stringify(value ?? null) }))

const batch = 100
const usualPoll = Duration.seconds(1)
/** So old what is known of its end may become when nothing else is to be told. */
const upToMillis = 10_000
const pauseMaxMillis = 60_000
const reasonMax = 500

type Taken = Pick<Item, "entries" | "passed" | "failure" | "to">

/** What is to be done with a reading; it ends before what nobody can read, if the rule says so. */
export const sift = Effect.fnUntraced(function* (
  { unreadable, when = [] }: Pick<TailSchedule, "unreadable" | "when">,
  { entries, to }: Reading,
  judge: Judge,
  specOf: (wanted: Wanted) => Item["entries"][number]["fire"],
  from: string | undefined,
): Effect.fn.Return<Taken> {
  const taken: Array<Item["entries"][number]> = []
  let passed = 0
  let last = from
  for (const entry of entries) {
    const judged = yield* judgeOne(entry, when, judge)
    if (Result.isFailure(judged)) {
      const reason = tidy(judged.failure)
      if (unreadable === "stop") {
        const failure = tidy(`the entry at ${entry.position} cannot be taken: ${judged.failure}`)
        return { entries: taken, passed, to: last, failure }
      }
      taken.push({ position: entry.position, fire: reason })
    } else if (judged.success === undefined) passed++
    else taken.push({ position: entry.position, fire: specOf(judged.success) })
    last = entry.position
  }
  return { entries: taken, passed, to, failure: undefined }
})

const judgeOne = (
  entry: Entry,
  when: NonNullable<TailSchedule["when"]>,
  judge: Judge,
): ReturnType<Judge> => {
  if ("flaw" in entry) return Effect.succeed(Result.fail(entry.flaw))
  if (unmet(when, entry.value) !== undefined) return Effect.succeed(Result.succeed(undefined))
  return Effect.map(judge(entry.value), (judged) => Result.flatMap(judged, fitting))
}

const fitting = (wanted: Wanted | undefined): Result.Result<Wanted | undefined, string> => {
  if (wanted === undefined) return Result.succeed(undefined)
  const { blockingKey = "", payload } = wanted
  const bytes = payload.length > payloadBytesMax / 3 ? new TextEncoder().encode(payload).length : 0
  const flaw = Text.flaw(payload) ?? Text.flaw(blockingKey)
  return bytes > payloadBytesMax
    ? Result.fail(`its payload has ${bytes} bytes, and may have ${payloadBytesMax}`)
    : blockingKey.length > 512
    ? Result.fail(`its key has ${blockingKey.length} characters, and may have 512`)
    : flaw === undefined
    ? Result.succeed(wanted)
    : Result.fail(flaw)
}

/** As every storage can keep it. */
const tidy = (reason: string): string =>
  reason.replaceAll("\0", "").toWellFormed().slice(0, reasonMax)

const checkedPositions = (
  source: string,
  reading: Reading,
): Effect.Effect<Reading, SourceUnavailable> => {
  const positions = [reading.to, ...reading.entries.map(({ position }) => position)]
  const isKept = positions.every((each) =>
    each.length <= Tailing.positionMax && Text.flaw(each) === undefined
  )
  return isKept ? Effect.succeed(reading) : Effect.fail(
    new SourceUnavailable({
      source,
      reason: `a position is no text of at most ${Tailing.positionMax} characters`,
    }),
  )
}

/** `on`: there may be more. `end`: not now. `stuck`: not until something is mended. */
type Next = "on" | "end" | "behind" | "stuck" | "paused" | "gone"

/** Of one process: tails as many triggers as it is given. */
export const make = Effect.gen(function* () {
  const storage = yield* Storage
  const { triggers } = storage
  const placer = Placer.make(storage)
  const whenRoom = yield* Backlogs.make
  const clock = yield* Clock.Clock
  const millis = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  const find = (namespace: Namespace, name: TriggerName) =>
    Effect.map(triggers.tails({ namespace, name }), ([found]) => found)

  const policyWithRoom = Effect.fnUntraced(function* (definition: TriggerDefinition) {
    const policy = yield* policyOf(storage, definition)
    if (policy.backlog === undefined) return policy
    const { lane } = Waiting.place(definition.namespace, definition.task, policy, undefined)
    yield* Effect.catchTag(
      whenRoom(definition.task, lane, policy.backlog, "wait"),
      "BacklogFull",
      Effect.die,
    )
    return policy
  })

  /** Tails the trigger for ever, with whatever definition it has by then. */
  const tail = (
    namespace: Namespace,
    name: TriggerName,
    source: Source,
    judge: Judge,
  ): Effect.Effect<never> => {
    const poll = Duration.fromInputUnsafe(source.poll ?? usualPoll)
    const spell = new Spell(`tail ${source.name}`)
    let failures = 0
    let toldAt = -Infinity

    const step = Effect.fnUntraced(function* (
      reader: Reader,
    ): Effect.fn.Return<Next, StorageUnavailable | SourceUnavailable> {
      const found = yield* find(namespace, name)
      if (found === undefined) return "gone"
      const { tail: { failure, position }, view: { definition, id, isPaused, revision } } = found
      const { schedule } = definition
      if (isPaused || schedule._tag !== "Tail") return "paused"
      const began = millis()
      const reading = yield* checkedPositions(
        source.name,
        position === undefined && schedule.from === "end"
          ? { entries: [], to: yield* reader.end, isAtEnd: true }
          : yield* reader.read(position ?? "", batch),
      )
      const policy = reading.entries.length === 0 ? usualPolicy : yield* policyWithRoom(definition)
      const taken = yield* sift(
        schedule,
        reading,
        judge,
        ({ blockingKey, payload }) => specOf({ ...definition, payload, blockingKey }, policy, 0),
        position,
      )
      const isStuck = taken.failure !== undefined
      const next = isStuck ? "stuck" : reading.isAtEnd ? "end" : "on"
      const isNews = taken.to !== position || taken.failure !== failure
      if (!isNews && (isStuck || millis() - toldAt < upToMillis)) return next
      const answer = yield* triggers.tail({
        trigger: id,
        revision,
        from: position,
        ...taken,
        endedMillisAgo: next === "end" ? millis() - began : undefined,
      })
      if (answer._tag === "Behind") return "behind"
      if (answer._tag === "Stale") return "paused"
      toldAt = millis()
      const gates = new Set(
        taken.entries.flatMap(({ fire }) =>
          typeof fire === "string" || fire.gate === undefined ? [] : [fire.gate.key]
        ),
      )
      if (gates.size > 0) yield* Effect.ignore(placer.admit(gates))
      return next
    })

    const pauseOf = (next: Next, reader: Reader): Effect.Effect<void> => {
      if (next !== "stuck") failures = 0
      switch (next) {
        case "on":
          return Effect.yieldNow
        case "end":
          return reader.wait?.(poll) ?? Effect.sleep(poll)
        case "paused":
          return Effect.sleep(poll)
        case "behind":
        case "gone":
          return Effect.flatMap(Random.next, (chance) => Effect.sleep(2000 + 3000 * chance))
        case "stuck":
          return backOff
      }
    }

    const backOff = Effect.suspend(() =>
      Effect.sleep(Math.min(pauseMaxMillis, 1000 * 2 ** Math.min(failures++, 6)))
    )

    /** Keeps why it does not come further. */
    const tell = Effect.fnUntraced(function* ({ message }: SourceUnavailable) {
      const failure = tidy(message)
      const found = yield* find(namespace, name)
      if (found === undefined || found.tail.failure === failure) return
      const { tail: { position }, view } = found
      yield* triggers.tail({
        trigger: view.id,
        revision: view.revision,
        from: position,
        to: position,
        entries: [],
        passed: 0,
        endedMillisAgo: undefined,
        failure,
      })
    })

    return Effect.scoped(Effect.flatMap(source.open, (reader) =>
      Effect.forever(
        Effect.flatMap(
          Effect.tap(step(reader), spell.wentWell),
          (next) => pauseOf(next, reader),
        ),
      ))).pipe(
        Effect.catchTag("SourceUnavailable", (error) => Effect.andThen(tell(error), backOff)),
        Effect.catchCause((cause) => Effect.andThen(spell.failed(cause), Effect.sleep("1 second"))),
        Effect.forever,
        // By the clock of who fires, not of whoever brings the source.
        Effect.provideService(Clock.Clock, clock),
      )
  }
  return tail
})

/** Whether the table can be tailed, before a trigger says so. */
export const check = (
  { tables, technology }: Storage["Service"],
  table: Tailing.Table,
): Effect.Effect<void, Refused> =>
  tables === undefined
    ? Effect.fail(
      new Refused({
        field: "schedule.tail",
        reason: `a storage in ${technology} tails no tables of its own`,
        remedy: "Bring the table with a program, by Trigger.tail",
      }),
    )
    : Effect.scoped(tables(table).open).pipe(
      Effect.asVoid,
      Effect.mapError(({ reason, remedy = "Look at the table again" }) =>
        new Refused({ field: "schedule.tail", reason, remedy })
      ),
    )

/** So often whoever fires triggers looks which tables are to be tailed. */
const lookMillis = 1000

/** Tails the tables that triggers name, of the partitions that this process holds. */
export const run = Effect.gen(function* () {
  const storage = yield* Storage
  const { tables, triggers } = storage
  if (tables === undefined) return
  const ownership = yield* Ownership
  const watched = yield* watcher
  const tail = yield* make
  const held = new Set<number>()
  for (let partition = 0; partition < partitions; partition++) {
    const hold = Effect.acquireUseRelease(
      Effect.sync(() => held.add(partition)),
      () => Effect.never,
      () => Effect.sync(() => held.delete(partition)),
    )
    yield* ownership.whileHeld(`triggers/${partition}`, hold).pipe(Effect.forkScoped)
  }
  const tailing = yield* FiberMap.make<string, never>()

  const look = Effect.gen(function* () {
    const wanted = new Set<string>()
    const found = held.size === 0 ? [] : yield* triggers.tails({ partitions: [...held] })
    for (const { view: { definition } } of found) {
      const { name, namespace, schedule } = definition
      if (schedule._tag !== "Tail" || typeof schedule.source === "string") continue
      const key = `${namespace} ${name} ${Tailing.keyOf(schedule)}`
      wanted.add(key)
      if (FiberMap.hasUnsafe(tailing, key)) continue
      yield* FiberMap.run(tailing, key, tail(namespace, name, tables(schedule.source), asItIs))
    }
    const stray = [...tailing].map(([key]) => key).filter((key) => !wanted.has(key))
    for (const key of stray) yield* FiberMap.remove(tailing, key)
    yield* Effect.sleep(yield* InStep.pause(storage, lookMillis))
  })

  yield* watched("tail tables", lookMillis, look).pipe(Effect.forkScoped)
})
