/**
 * The registry that asks the storage, where executors join and beat: there is no second truth.
 *
 * A scheduler is kept in the same way, as a member of a namespace that no user can name.
 */
import { Clock, Duration, Effect, Layer, Random } from "effect"
import type { ExecutorView, Incarnation } from "../domain/Executor.ts"
import type { Namespace } from "../domain/Namespace.ts"
import { held } from "../services/ExecutorStorage.ts"
import { Registry } from "../services/Registry.ts"
import { Storage } from "../services/Storage.ts"

/** `Namespace` has no such character, so whatever comes from outside is refused by it. */
const backstage = "~schedulers" as Namespace

/** So often somebody who waits for a change looks for it. */
const lookMillis = 500
const namespacesMax = 1000

interface Kept {
  readonly revision: number
  readonly executors: ReadonlyArray<ExecutorView>
  /** Monotonic milliseconds. */
  readonly askedAt: number
  /** What the revision stands for. */
  readonly text: string
}

const make = Effect.gen(function* () {
  const { executors } = yield* Storage
  const clock = yield* Clock.Clock
  const kept = new Map<Namespace, Kept>()
  const own = new Set<Incarnation>()
  let revisions = 0

  const monotonic = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  const here = (namespace: Namespace) =>
    Effect.map(
      executors.list(namespace),
      (views) => views.filter(({ standing }) => standing === "live" || standing === "draining"),
    )

  const ask = Effect.fnUntraced(function* (namespace: Namespace) {
    const askedAt = monotonic()
    const views = yield* here(namespace)
    const known = kept.get(namespace)
    // Somebody who asked later was answered sooner.
    if (known !== undefined && known.askedAt > askedAt) return known
    const text = JSON.stringify(
      views.map(({ beatAt: _beatAt, held: _held, ...lasting }) => lasting),
    )
    const revision = known?.text === text ? known.revision : ++revisions
    const now: Kept = { revision, executors: views, askedAt, text }
    if (kept.size >= namespacesMax) kept.clear()
    kept.set(namespace, now)
    return now
  })

  const snapshot: Registry["Service"]["snapshot"] = Effect.fnUntraced(
    function* (namespace, maxAge = 0) {
      const known = kept.get(namespace)
      const oldest = monotonic() - Duration.toMillis(Duration.fromInputUnsafe(maxAge))
      const { askedAt, executors, revision } = known !== undefined && known.askedAt > oldest
        ? known
        : yield* ask(namespace)
      return { revision, executors, ageMillis: monotonic() - askedAt }
    },
  )

  const announce: Registry["Service"]["announce"] = Effect.fnUntraced(
    function* ({ labels = {}, name, ttl = "10 seconds" }) {
      const ttlMillis = Duration.toMillis(Duration.fromInputUnsafe(ttl))
      const join = Effect.map(
        executors.join({ namespace: backstage, name, capacity: 1, labels, ttlMillis }),
        (incarnation) => {
          own.add(incarnation)
          return incarnation
        },
      )
      let self = yield* join
      yield* Effect.addFinalizer(() =>
        Effect.suspend(() => {
          own.delete(self)
          return Effect.ignore(Effect.timeout(executors.leave(self), "1 second"))
        })
      )
      const keep = Effect.gen(function* () {
        yield* Effect.sleep(ttlMillis / 4)
        const { _tag } = yield* executors.beat(self, nothing)
        if (_tag === "Alive") return
        // It was held up for longer than its ttl, and is a new incarnation.
        own.delete(self)
        self = yield* join
      })
      yield* keep.pipe(
        Effect.catch((error) => Effect.logDebug("could not say that this scheduler lives", error)),
        Effect.forever,
        Effect.forkScoped,
      )
    },
  )

  return Registry.of({
    snapshot,
    changed: Effect.fnUntraced(function* (namespace, revision) {
      while ((yield* ask(namespace)).revision === revision) {
        yield* Effect.sleep(yield* Random.nextBetween(lookMillis / 2, lookMillis))
      }
    }),
    announce,
    schedulers: Effect.map(here(backstage), (views) => {
      // The latest first: an earlier one of the same name was killed.
      const latest = new Map(views.toReversed().map((view) => [view.name, view]))
      return [...latest.values()].map(({ beatAt, incarnation, joinedAt, labels, name }) => ({
        name,
        labels,
        since: joinedAt,
        beatAt,
        isSelf: own.has(incarnation),
      })).toSorted((a, b) => a.name < b.name ? -1 : 1)
    }),
  })
})

const nothing = held([])

export const layer: Layer.Layer<Registry, never, Storage> = Layer.effect(Registry, make)
