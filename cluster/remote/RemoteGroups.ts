/** The groups of a server, over REST. */
import { Effect, Layer } from "effect"
import type { Namespace } from "../../core/domain/Namespace.ts"
import type { StateName } from "../../core/domain/Run.ts"
import { CurrentNamespace } from "../../core/engine/CurrentNamespace.ts"
import { cancelAll, type GroupOrder, Groups, GroupUnknown } from "../../core/engine/Groups.ts"
import * as ApiClient from "../api/ApiClient.ts"
import { refusedOr, unanswered, unless } from "./unanswered.ts"

export const layer = (options: ApiClient.AnyOptions): Layer.Layer<Groups> =>
  Layer.effect(Groups, make(options))

const make = Effect.fnUntraced(function* (options: ApiClient.AnyOptions) {
  const { groups } = yield* ApiClient.anyOf(options)

  const here = (given: Namespace | undefined) =>
    given === undefined ? CurrentNamespace : Effect.succeed(given)

  const counted = Effect.fnUntraced(function* (name: string, namespace: Namespace | undefined) {
    return yield* groups.get({
      params: { name },
      query: { namespace: yield* here(namespace) },
    }).pipe(unless("find a group", "GroupUnknown", () => new GroupUnknown({ name })))
  })

  const refused = (name: string, operation: string) =>
  <E extends { readonly _tag: string }>(
    error: E,
  ) => error._tag === "GroupUnknown" ? new GroupUnknown({ name }) : refusedOr(operation)(error)

  const order = (to: "pause" | "resume") =>
    Effect.fnUntraced(function* (name: string, { namespace, ...words }: GroupOrder = {}) {
      return yield* groups[to]({
        params: { name },
        payload: { namespace: yield* here(namespace), ...words },
      }).pipe(Effect.mapError(refused(name, to)))
    })

  const cancelSome: Groups["Service"]["cancelSome"] = Effect.fnUntraced(
    function* (name, { before, namespace, ...words } = {}) {
      return yield* groups.cancel({
        params: { name },
        payload: {
          namespace: yield* here(namespace),
          ...words,
          ...(before !== undefined && { before }),
        },
      }).pipe(Effect.mapError(refused(name, "cancel")))
    },
  )

  return Groups.of({
    list: Effect.fnUntraced(function* (namespace) {
      const { items } = yield* groups.list({ query: { namespace: yield* here(namespace) } }).pipe(
        Effect.mapError(unanswered("list groups")),
      )
      return items
    }),
    find: (name, namespace) =>
      Effect.map(counted(name, namespace), ({ runs: _, ...group }) => group),
    // No other vocabulary was asked for.
    counts: (name, namespace) =>
      Effect.map(
        counted(name, namespace),
        ({ runs }) => runs as Partial<Record<StateName, number>>,
      ),
    pause: order("pause"),
    resume: order("resume"),
    cancel: cancelAll(cancelSome),
    cancelSome,
  })
})
