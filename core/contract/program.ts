/** What tests of the whole share: the engine over an adapter, and the small things they are made of. */
import { Effect, Layer, Schema, type Scope } from "effect"
import { Namespace } from "../domain/Namespace.ts"
import type { RunId } from "../domain/RunId.ts"
import { Breakers } from "../engine/Breakers.ts"
import { Groups } from "../engine/Groups.ts"
import { CurrentNamespace } from "../engine/CurrentNamespace.ts"
import { Executor, type ExecutorOptions } from "../engine/Executor.ts"
import * as LocalOwnership from "../engine/LocalOwnership.ts"
import { Locks } from "../engine/Locks.ts"
import { Scheduler } from "../engine/Scheduler.ts"
import { Triggers } from "../engine/Triggers.ts"
import type { Lock } from "../services/Lock.ts"
import type { Storage } from "../services/Storage.ts"
import type { Transport } from "../services/Transport.ts"
import type { Wakeups } from "../services/Wakeups.ts"
import { fresh } from "./world.ts"

export type Base = Storage | Wakeups | Lock | Transport
export type Program = Base | Scheduler | Triggers | Locks | Breakers | Groups

export const engine: Layer.Layer<Exclude<Program, Base>, never, Base> = Layer.mergeAll(
  Scheduler.layerWith({ sweepInterval: "300 millis" }),
  Triggers.layer,
  Locks.layer,
  Breakers.layer,
  Groups.layer,
).pipe(Layer.provide(LocalOwnership.layer))

export const programOver = <E>(base: Layer.Layer<Base, E>): Layer.Layer<Program, E> =>
  Layer.provideMerge(engine, base)

/** How a test of a program is told, by its name, in a namespace of its own. */
export type Test<R = Program> = (
  name: string,
  body: () => Effect.Effect<unknown, unknown, R | Scope.Scope>,
) => void

/** A namespace of its own for each test, so that tests may share a database and run at once. */
export const inFreshNamespace = <A, E, R>(test: Effect.Effect<A, E, R>) =>
  Effect.provideService(test, CurrentNamespace, Namespace.make(fresh("ns")))

/** Runs handlers in an executor of their own, until the scope closes. */
export const serving = <R>(
  handlers: Layer.Layer<never, never, Executor | R>,
  options: ExecutorOptions = {},
) => Layer.build(Layer.provide(handlers, Executor.layerWith({ ttl: "4 seconds", ...options })))

export const state = (run: RunId) => Scheduler.use((scheduler) => scheduler.find(run))

/** Waits for a fact. */
export const until = <A, E, R>(look: Effect.Effect<A, E, R>, isIt: (value: A) => boolean) =>
  Effect.gen(function* () {
    for (;;) {
      const value = yield* look
      if (isIt(value)) return value
      yield* Effect.sleep("20 millis")
    }
  })

/** An answer that is no success. */
export class TooSmall extends Schema.TaggedError<TooSmall>()("TooSmall", { least: Schema.Int }) {}
