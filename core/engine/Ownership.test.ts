import { Context, Duration, Effect, Exit, Layer, Scope } from "effect"
import * as Memory from "../../adapters/memory/mod.ts"
import * as OwnershipContract from "../contract/OwnershipContract.ts"
import { Lock } from "../services/Lock.ts"
import { Ownership } from "../services/Ownership.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import * as StandbyOwnership from "./StandbyOwnership.ts"

/** One process over this lock; `kill` cuts it off. */
const standby = (group: string) =>
  Effect.gen(function* () {
    const lock = yield* Lock
    let isCutOff = false
    const reach = <A, E>(call: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.suspend(() => isCutOff ? Effect.never : call)
    const reached = Lock.of({
      ...lock,
      acquire: (key, holder, ttl) => reach(lock.acquire(key, holder, ttl)),
      renew: (lease, ttl) => reach(lock.renew(lease, ttl)),
      release: (lease) => reach(lock.release(lease)),
      watch: (key) =>
        Effect.map(lock.watch(key), ({ arm, wait }) => ({
          arm: reach(arm),
          wait: (atMost) => reach(wait(atMost)),
        })),
    })
    const scope = yield* Scope.fork(yield* Effect.scope)
    const context = yield* StandbyOwnership.layer({ name: group, ttl: "4 seconds" }).pipe(
      Layer.provide(Layer.succeed(Lock, reached)),
      Layer.fresh,
      Layer.build,
      Scope.provide(scope),
    )
    return {
      ownership: Context.get(context, Ownership),
      leave: Scope.close(scope, Exit.void),
      kill: Effect.sync(() => {
        isCutOff = true
      }),
    }
  })

OwnershipContract.suite("standby", Memory.layer, standby, {
  // A lease, and what it takes to see that it is free.
  takenOverWithin: Duration.millis(4500),
  isExclusive: true,
})

OwnershipContract.suite(
  "local",
  LocalOwnership.layer,
  () =>
    Effect.map(Ownership, (ownership) => ({ ownership, leave: Effect.void, kill: Effect.void })),
  { isAlone: true },
)
