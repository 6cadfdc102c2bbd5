/**
 * Circuit breakers: what they are set to, how they stand, and orders by hand. Tasks name the breaker
 * that their runs stand behind; nothing has to be set up for that, it has usual settings then.
 */
import { Context, Duration, Effect, Layer, Option, Schema } from "effect"
import { Words } from "../domain/Asked.ts"
import {
  BreakerKey,
  BreakerName,
  type BreakerView,
  type Order,
  Settings,
  usual,
} from "../domain/Breaker.ts"
import type { Namespace } from "../domain/Namespace.ts"
import { refusalOf, type Refused } from "../domain/Refused.ts"
import { Storage } from "../services/Storage.ts"
import type { StorageUnavailable } from "../services/StorageUnavailable.ts"
import { CurrentNamespace } from "./CurrentNamespace.ts"

/** What is not named is as usual. */
export interface BreakerOptions {
  /** It opens when so many of a hundred calls within `window` failed. 50 unless given. */
  readonly failurePercent?: number
  /** It opens as well when so many in a row did. 20 unless given. */
  readonly badInARow?: number
  /** A call that takes longer is as bad as one that failed. */
  readonly slow?: Duration.Input
  /** Fewer calls than these say nothing. 10 unless given. */
  readonly callsMin?: number
  /** 30 seconds unless given. */
  readonly window?: Duration.Input
  /** It stays open for so long before it tries. 30 seconds unless given. */
  readonly openFor?: Duration.Input
  /** So many are let through at first when it tries, in each `probeEvery`. 3 unless given. */
  readonly probes?: number
  /** 5 seconds unless given. */
  readonly probeEvery?: Duration.Input
}

/** One of all runs, by its name; or that of a key. */
export type BreakerRef = string | { readonly name: string; readonly key: string }

/** Nobody has used or set a breaker of this name. */
export class BreakerUnknown extends Schema.TaggedError<BreakerUnknown>()("BreakerUnknown", {
  name: Schema.String,
}) {
  override get message() {
    return `there is no breaker "${this.name}"`
  }
}

export class Breakers extends Context.Service<Breakers, {
  readonly set: (
    name: string,
    options: BreakerOptions,
    namespace?: Namespace,
  ) => Effect.Effect<BreakerView, Refused | StorageUnavailable>

  /**
   * `auto` takes an order back: it opens and closes by its calls again. An order of the name is for
   * all keys that have none of their own.
   */
  readonly order: (
    breaker: BreakerRef,
    to: Order["to"] | "auto",
    words?: Words,
    namespace?: Namespace,
  ) => Effect.Effect<BreakerView, BreakerUnknown | Refused | StorageUnavailable>

  readonly find: (
    breaker: BreakerRef,
    namespace?: Namespace,
  ) => Effect.Effect<BreakerView, BreakerUnknown | StorageUnavailable>

  /** The keys of a breaker of which something bad is known, or that have an order of their own. */
  readonly keys: (
    name: string,
    namespace?: Namespace,
  ) => Effect.Effect<ReadonlyArray<BreakerView>, BreakerUnknown | StorageUnavailable>

  readonly list: (
    namespace?: Namespace,
  ) => Effect.Effect<ReadonlyArray<BreakerView>, StorageUnavailable>
}>()("belfry/core/engine/Breakers") {
  static readonly layer: Layer.Layer<Breakers, never, Storage> = Layer.effect(
    Breakers,
    Effect.suspend(() => make),
  )
}

const make = Effect.gen(function* () {
  const { permits } = yield* Storage
  const here = (given: Namespace | undefined) =>
    given === undefined ? CurrentNamespace : Effect.succeed(given)

  const find: Breakers["Service"]["find"] = Effect.fnUntraced(function* (breaker, given) {
    const { key, name } = named(breaker)
    const found = yield* permits.find(yield* here(given), name, key)
    return Option.isSome(found) ? found.value : yield* new BreakerUnknown({ name })
  })

  return Breakers.of({
    set: Effect.fnUntraced(function* (name, options, given) {
      const namespace = yield* here(given)
      const known = yield* checked(BreakerName, name, "breaker.name")
      return yield* permits.set(
        namespace,
        known,
        yield* checked(Settings, settingsOf(options), "breaker"),
      )
    }),
    order: Effect.fnUntraced(function* (breaker, to, words, given) {
      const { key, name } = named(breaker)
      const namespace = yield* here(given)
      if (words !== undefined) yield* checked(Words, words, "order")
      if (key !== undefined) yield* checked(BreakerKey, key, "key")
      yield* find(name, namespace)
      return yield* permits.order(namespace, name, to, words, key)
    }),
    find,
    keys: Effect.fnUntraced(function* (name, given) {
      const namespace = yield* here(given)
      yield* find(name, namespace)
      return yield* permits.keys(namespace, name)
    }),
    list: (given) => Effect.flatMap(here(given), permits.list),
  })
})

const named = (breaker: BreakerRef): { readonly name: string; readonly key?: string } =>
  typeof breaker === "string" ? { name: breaker } : breaker

const millis = (input: Duration.Input) => Duration.toMillis(Duration.fromInputUnsafe(input))

export const settingsOf = (options: BreakerOptions): Settings => ({
  failurePercent: options.failurePercent ?? usual.failurePercent,
  badInARow: options.badInARow ?? usual.badInARow,
  callsMin: options.callsMin ?? usual.callsMin,
  probes: options.probes ?? usual.probes,
  windowMillis: options.window === undefined ? usual.windowMillis : millis(options.window),
  openMillis: options.openFor === undefined ? usual.openMillis : millis(options.openFor),
  probeMillis: options.probeEvery === undefined ? usual.probeMillis : millis(options.probeEvery),
  ...(options.slow !== undefined && { slowMillis: millis(options.slow) }),
})

const checked = <T>(schema: Schema.Codec<T, unknown>, given: unknown, field: string) =>
  Effect.mapError(
    Schema.decodeUnknownEffect(schema)(given, { reportInput: true }),
    (error) => refusalOf(error, field),
  )
