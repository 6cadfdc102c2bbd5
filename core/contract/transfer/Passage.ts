/** From one storage into another: both sides, made anew for each test, and what goes over. */
import { Context, Duration, Effect, Layer, type Scope, Stream } from "effect"
import { type Of, StateRecord } from "../../domain/StateRecord.ts"
import { Lock } from "../../services/Lock.ts"
import { Storage } from "../../services/Storage.ts"
import type { Elapse } from "../world.ts"
import { furnished, type World } from "./furnished.ts"

/** A storage that is made anew, and how time goes by in it. */
export interface Side<R> {
  readonly layer: Layer.Layer<Storage | Lock | R, unknown>
  readonly elapse: Elapse<R>
}

export type Kept<R> = Context.Context<Storage | Lock | R>

/** Into what `effect` finds there. */
export const into = <R>(kept: Kept<R>) => <A, E>(effect: Effect.Effect<A, E, Storage | Lock | R>) =>
  Effect.provideContext(effect, kept)

export const exported = Storage.use(({ transfer }) => Stream.runCollect(transfer.export))

export const imported = (records: ReadonlyArray<StateRecord>) =>
  Storage.use(({ transfer }) => transfer.import(Stream.fromIterable(records)))

export const runsIn = (records: ReadonlyArray<StateRecord>): ReadonlyArray<Of<"Run">> =>
  records.flatMap((each) => each._tag === "Run" ? [each] : [])

/**
 * An export without what is of a clock, or not kept by every technology: when a retried run became due,
 * and by how much a run that was due late had been.
 */
export const comparable = (records: ReadonlyArray<StateRecord>): ReadonlyArray<unknown> =>
  records.flatMap((record): ReadonlyArray<unknown> => {
    switch (record._tag) {
      case "Marks":
        return []
      case "Executor": {
        const { beatAt: _, ...rest } = record
        return [rest]
      }
      case "Lock":
        return [{ ...record, endsInMillis: record.endsInMillis > 0 }]
      case "Run": {
        const { dueAt, ...place } = record.place as Extract<typeof record.place, { dueAt?: number }>
        const { rank: _, ...unranked } = place as Extract<typeof place, { _tag: "Ready" }>
        const isNew = place._tag === "Ready" && place.fence === 0 && record.gate === undefined
        return [{
          ...record,
          place: { ...isNew ? unranked : place, ...(place._tag === "Scheduled" && { dueAt }) },
        }]
      }
      default:
        return [record]
    }
  }).map((each) => each as { _tag: string }).toSorted((a, b) => keyOf(a) < keyOf(b) ? -1 : 1)

const keyOf = (record: object): string => JSON.stringify(record, Object.keys(record).sort())

type Test = (name: string, body: () => Effect.Effect<unknown, unknown, Scope.Scope>) => void

export type Passage<R, R2> = ReturnType<typeof passageOf<R, R2>>

export const passageOf = <R, R2>(test: Test, from: Side<R>, to: Side<R2>) => {
  const empty = Layer.build(Layer.fresh(to.layer))
  /** Time is the same for both. */
  const level = (source: Kept<R>, target: Kept<R2>) =>
    Effect.gen(function* () {
      const ahead = (yield* Context.get(source, Storage).now) -
        (yield* Context.get(target, Storage).now)
      if (ahead > 0) yield* into(target)(to.elapse(Duration.millis(ahead)))
      else yield* into(source)(from.elapse(Duration.millis(-ahead)))
    })
  const both = Effect.gen(function* () {
    const source = yield* Layer.build(Layer.fresh(from.layer))
    const target = yield* empty
    yield* level(source, target)
    return { source, target }
  })

  /** A storage with one of everything, what it told, and where that has gone to. */
  const moved = Effect.gen(function* () {
    const { source, target } = yield* both
    const world = yield* into(source)(furnished(from.elapse))
    const records = yield* into(source)(exported)
    yield* level(source, target)
    yield* into(target)(imported(records))
    return { source, target, world, records }
  })

  /** What is done where all of it went. */
  const after = (
    name: string,
    body: (world: World) => Effect.Effect<unknown, unknown, Storage | Lock | R2>,
  ) => test(name, () => Effect.flatMap(moved, ({ target, world }) => into(target)(body(world))))

  return { after, both, empty, from, level, moved, test, to }
}
