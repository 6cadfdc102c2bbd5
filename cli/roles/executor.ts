/** Carries tasks out for a server elsewhere until it is asked to stop. */
import { Effect, Fiber, Layer, Option } from "effect"
import { registerHooks } from "node:module"
import { hostname } from "node:os"
import { fileURLToPath } from "node:url"
import { CurrentNamespace } from "../../core/engine/CurrentNamespace.ts"
import * as Child from "../Child.ts"
import * as Connection from "../Connection.ts"
import * as Ending from "../Ending.ts"
import { joined } from "../joined.ts"
import { beats, remote } from "../layers.ts"
import * as Output from "../Output.ts"
import { Problem, render } from "../Problem.ts"
import * as Programs from "../programs.ts"

export interface Given extends Connection.Given {
  readonly files: ReadonlyArray<string>
  readonly namespace: Option.Option<string>
  readonly name: Option.Option<string>
  readonly concurrency: number
  readonly label: Option.Option<Record<string, string>>
  readonly resource: Option.Option<Record<string, string>>
  readonly ttl: Option.Option<number>
  readonly beatThread: boolean
  readonly samples: boolean
}

export const executor = (given: Given) =>
  Effect.tapError(
    Effect.flatMap(joined(given.namespace), (namespace) =>
      Effect.provideService(Effect.scoped(main(given)), CurrentNamespace, namespace)),
    (problem) =>
      Effect.sync(() =>
        Child.tell({ _tag: "Failed", what: render(problem), exitCode: problem.exitCode })
      ),
  )

const main = Effect.fnUntraced(function* (given: Given) {
  if (given.files.length === 0 && !given.samples) {
    return yield* new Problem({
      kind: "usage",
      what: "an executor needs tasks to carry out",
      fix: "name modules whose default export is a layer of tasks, or --samples",
      hint: "belfry executor tasks.ts",
    })
  }
  const own = yield* watched(Programs.load(given.files))
  const program = given.samples ? Layer.merge(own, yield* samples) : own
  const address = yield* Connection.address(given)
  // Its thread loads while the server is reached.
  const beating = yield* Effect.forkScoped(
    Layer.build(given.beatThread ? beats(address) : Layer.empty),
  )
  const connection = yield* reached(given)
  const name = Option.getOrElse(given.name, ownName)
  const seen: Programs.Seen = { tasks: [], executor: undefined }
  const options = {
    name,
    concurrency: given.concurrency,
    ...(Option.isSome(given.ttl) && { ttl: given.ttl.value }),
    labels: Option.getOrElse(given.label, () => ({})),
    // What is no number is refused, by its name, where the executor says who it is.
    resources: Object.fromEntries(
      Object.entries(Option.getOrElse(given.resource, () => ({})))
        .map(([name, amount]) => [name, amount.trim() === "" ? NaN : Number(amount)]),
    ),
  }
  if (!Child.hasParent()) Ending.whenAsked(() => Output.talk(`${name} drains; once more kills`))
  const work = Effect.gen(function* () {
    yield* served(given, connection, seen)
    Child.tell({ _tag: "Ready", tasks: seen.tasks })
    if (!Child.hasParent()) {
      Output.talk(`belfry executor ${name}  ${connection.url}  ${seen.tasks.join(", ")}`)
    }
    return yield* Effect.never
  })
  const stopped = Effect.suspend(() => seen.executor!.stopped)
  const servers = { ...address, urls: [connection.url, ...address.urls] }
  yield* Effect.raceFirst(work, Effect.mapError(stopped, Programs.refusalProblem)).pipe(
    Effect.provide(Layer.provide(
      Programs.carriedOut(program, options, seen, given.files),
      Layer.merge(remote(servers), Layer.effectContext(Fiber.join(beating))),
    )),
  )
})

const samples = Effect.promise(async () => (await import("../samples/mod.ts")).default)

const ownName = () =>
  hostname().replace(/[^A-Za-z0-9._:-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "") || "executor"

/** Tells which files were loaded, so that whoever started us can watch them. */
const watched = <A, E>(loading: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    const files = new Set<string>()
    const hooks = registerHooks({
      load: (url, context, next) => {
        if (url.startsWith("file:") && !url.includes("/node_modules/")) {
          files.add(fileURLToPath(url))
        }
        return next(url, context)
      },
    })
    return Effect.ensuring(
      loading,
      Effect.sync(() => {
        hooks.deregister()
        Child.tell({ _tag: "Loaded", files: [...files] })
      }),
    )
  })

/** A connection to a server that knows the token; waits for the server if it is not up yet. */
const reached = Effect.fnUntraced(function* (given: Given) {
  for (let tries = 0;; tries++) {
    const connection = yield* Connection.open(given)
    const answer = yield* Effect.result(
      connection.call((api) => api.system.status({ query: {} })),
    )
    if (answer._tag === "Success") return connection
    if (answer.failure.kind !== "unreachable" && answer.failure.kind !== "failed") {
      return yield* answer.failure
    }
    if (tries === 0) Output.talk(`${answer.failure.what}; waiting for it`)
    yield* Effect.sleep(Math.min(2000, 200 * 1.5 ** tries))
  }
})

/** Returns when the server knows that these tasks are served here. */
const served = Effect.fnUntraced(function* (
  given: Given,
  reached: Connection.Connection,
  seen: Programs.Seen,
) {
  const namespace = yield* CurrentNamespace
  for (let connection = reached;;) {
    const { incarnation } = yield* seen.executor!.status
    const answer = yield* Effect.option(
      connection.call((api) => api.executors.list({ query: { namespace } })),
    )
    if (Option.isNone(answer)) connection = yield* Connection.open(given)
    const isKnown = Option.isSome(answer) &&
      answer.value.items.some((each) =>
        each.incarnation === incarnation &&
        seen.tasks.every((task) => (each.tasks as ReadonlyArray<string>).includes(task))
      )
    if (isKnown) return
    yield* Effect.sleep(50)
  }
})
