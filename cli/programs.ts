/** Programs of users: modules whose default export is a layer of tasks, and who carries them out. */
import { Cause, Effect, Layer, Option } from "effect"
import { existsSync } from "node:fs"
import { relative, resolve } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import type { Namespace } from "../core/domain/Namespace.ts"
import { Refused } from "../core/domain/Refused.ts"
import { CurrentNamespace } from "../core/engine/CurrentNamespace.ts"
import { Executor, type ExecutorOptions } from "../core/engine/Executor.ts"
import type { Scheduler } from "../core/engine/Scheduler.ts"
import type { Triggers } from "../core/engine/Triggers.ts"
import type { JoinRefused, Transport } from "../core/services/Transport.ts"
import { Problem } from "./Problem.ts"

export type Program = Layer.Layer<never, unknown, Executor | Scheduler | Triggers>

const example = `export default Hello.toLayer(({ name }) => Effect.succeed(\`Hello, \${name}!\`))`

export const load = (files: ReadonlyArray<string>): Effect.Effect<Program, Problem> =>
  Effect.map(
    Effect.forEach(files, loadOne),
    (programs) => programs.reduce((all, each) => Layer.merge(all, each), Layer.empty as Program),
  )

const loadOne = Effect.fnUntraced(function* (file: string) {
  const path = resolve(file)
  if (!existsSync(path)) {
    return yield* new Problem({
      kind: "usage",
      what: `there is no file ${file}`,
      fix: "name a module whose default export is a layer of tasks",
    })
  }
  const module: { readonly default?: unknown } = yield* Effect.tryPromise({
    try: () => import(pathToFileURL(path).href),
    catch: (cause) =>
      cause instanceof Refused
        ? new Problem({
          kind: "usage",
          what: `${file}: ${cause.field}: ${cause.reason}`,
          fix: cause.remedy,
        })
        : new Problem({ kind: "failed", what: `${file} does not load: ${stackOf(cause)}` }),
  })
  if (!Layer.isLayer(module.default)) {
    return yield* new Problem({
      kind: "usage",
      what: `the default export of ${file} is not a layer`,
      fix: `end it with, say: ${example}`,
    })
  }
  return module.default as Program
})

/** The words of an error, and where in the user's own files it comes from. */
const stackOf = (cause: unknown) => {
  if (!(cause instanceof Error)) return String(cause)
  const lines = (cause.stack ?? cause.message).split("\n")
  // Node says first where a text is no program, and shows the line.
  const [, place, line] = /^((?:file:\/\/)?\/.+|[A-Z]:\\.+):(\d+)$/.exec(lines[0] ?? "") ?? []
  if (cause instanceof SyntaxError && place !== undefined) {
    const path = place.startsWith("file:") ? fileURLToPath(place) : place
    return `${relative(".", path)}:${line}: ${cause.message}`
  }
  // Deno says all of it in the message.
  const [, reason, at, row] = /^SyntaxError: (.+)\n[^]*?\bat (file:.+?):(\d+):\d+/
    .exec(cause.message) ?? []
  if (at !== undefined) return `${relative(".", fileURLToPath(at))}:${row}: ${reason}`
  return lines.filter((line) => !isInternal(line)).slice(0, 6).join("\n")
}

const own = new URL(".", import.meta.url)

const isInternal = (line: string) =>
  /^\s+at /.test(line) &&
  ["node:internal", "/node_modules/", own.href, fileURLToPath(own)].some((each) =>
    line.includes(each)
  )

/** What is known of an executor from outside of it. */
export interface Seen {
  /** Grows as they register. */
  readonly tasks: Array<string>
  executor: Executor["Service"] | undefined
}

/**
 * Carries the tasks of a program out, in one executor.
 *
 * A layer that wants more than is provided dies when it is built, which is the user's mistake and
 * not ours, so it becomes a problem as well.
 */
export const carriedOut = (
  program: Program,
  options: ExecutorOptions,
  seen: Seen,
  /** Where it came from, for those of its tasks that ask for a thread or process of their own. */
  files: ReadonlyArray<string> = [],
): Layer.Layer<never, Problem, Transport | Scheduler | Triggers> => {
  const counting = Layer.effect(
    Executor,
    Effect.gen(function* () {
      const executor = yield* Executor
      const joined = yield* CurrentNamespace
      seen.executor = executor
      return Executor.of({
        ...executor,
        register: (handler) =>
          Effect.gen(function* () {
            const own = yield* CurrentNamespace
            if (own !== joined) return yield* Effect.die(foreign(handler.task, own, joined))
            yield* executor.register(handler)
            seen.tasks.push(handler.task)
          }),
      })
    }),
  ).pipe(Layer.provide(Executor.layerWith(options)), Layer.provide(isolation(files)))
  return program.pipe(
    Layer.provide(counting),
    Layer.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Layer.effectDiscard(Effect.failCause(cause as Cause.Cause<never>))
        : Layer.effectDiscard(Effect.fail(startProblem(cause)))
    ),
  )
}

const isolation = (files: ReadonlyArray<string>): Layer.Layer<never> => {
  if (files.length === 0) return Layer.empty
  const entry = files.map((file) => pathToFileURL(resolve(file)))
  return Layer.unwrap(Effect.map(
    Effect.promise(() => import("../adapters/isolated/mod.ts")),
    (Isolated) => Isolated.layer({ entry }),
  )) as Layer.Layer<never>
}

/** Why an executor may not go on. */
export const refusalProblem = (refused: JoinRefused | Refused): Problem =>
  refused._tag === "JoinRefused"
    ? new Problem({
      kind: "notAllowed",
      what: `the executor may not join: ${refused.reason}`,
      fix: refused.remedy,
    })
    : new Problem({
      kind: "usage",
      what: `${refused.field}: ${refused.reason}`,
      fix: refused.remedy,
    })

/** What a program says of itself holds, and an executor is in one namespace. */
const foreign = (task: string, own: Namespace, joined: Namespace) =>
  new Problem({
    kind: "usage",
    what: `the module of "${task}" provides the namespace "${own}", and this executor joins ` +
      `"${joined}"`,
    fix: `name it with --namespace ${own}, or leave it to whoever starts the executor`,
  })

const startProblem = (cause: Cause.Cause<unknown>) => {
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (error instanceof Problem) return error
  for (const reason of cause.reasons) {
    if (reason._tag === "Die" && reason.defect instanceof Problem) return reason.defect
  }
  const { _tag } = (error ?? {}) as { readonly _tag?: string }
  if (_tag === "JoinRefused" || _tag === "Refused") {
    return refusalProblem(error as JoinRefused | Refused)
  }
  return new Problem({ kind: "failed", what: `the tasks did not start: ${Cause.pretty(cause)}` })
}
