/**
 * The other side: loads the modules of the program once more, builds their layers with an executor
 * that takes the handler of one task, and carries its runs out, one at a time.
 */
import { Cause, Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { parentPort, workerData } from "node:worker_threads"
import { Fence } from "../../core/domain/Lease.ts"
import { Namespace } from "../../core/domain/Namespace.ts"
import { Refused } from "../../core/domain/Refused.ts"
import { RunId } from "../../core/domain/RunId.ts"
import { TaskName } from "../../core/domain/TaskName.ts"
import type { Breakers } from "../../core/engine/Breakers.ts"
import { CurrentNamespace } from "../../core/engine/CurrentNamespace.ts"
import type { CurrentRun } from "../../core/engine/CurrentRun.ts"
import { Executor } from "../../core/engine/Executor.ts"
import { failureOf, failureOfCause } from "../../core/engine/failures.ts"
import type { Groups } from "../../core/engine/Groups.ts"
import type { Handler, Unsuccessful } from "../../core/engine/Handler.ts"
import type { Locks } from "../../core/engine/Locks.ts"
import type { Scheduler } from "../../core/engine/Scheduler.ts"
import type { Triggers } from "../../core/engine/Triggers.ts"
import { keptOf } from "../../core/engine/remembering.ts"
import { checkpointMax } from "../../core/services/RunStorage.ts"
import * as declared from "./declared.ts"
import * as farScheduler from "./farScheduler.ts"
import type { Opening, Order, RunData, Saying, Step, Word } from "./messages.ts"

/** What `Channel.ts` names this module by. */
export type Url = string

const isThread = parentPort !== null

const opening: Opening = isThread
  ? workerData as Opening
  : JSON.parse(process.env["BELFRY_ISOLATED"] ?? "null") as Opening

const tell = (word: Word): void => {
  if (isThread) parentPort!.postMessage(word)
  else process.send?.(word, undefined, undefined, () => {})
}

const listen = (take: (order: Order) => void): void => {
  if (isThread) {
    parentPort!.on("message", take)
    return
  }
  process.on("message", (order) => take(order as Order))
  // The program is gone: nobody waits for what is done here.
  process.on("disconnect", () => process.exit(0))
}

/** Until the layers of the module are built. */
let isBuilding = true

const { answered, asked, layer: scheduler } = farScheduler.make(tell, () => isBuilding)

/** Takes the handler of the one task; what else the module brings is not served here. */
const taking = (found: (handler: Handler) => void) =>
  Layer.succeed(
    Executor,
    Executor.of({
      register: (handler) =>
        Effect.sync(() => {
          if (handler.task === opening.task) found(handler)
        }),
      status: Effect.die(new Error("an isolated handler has no executor of its own")),
      resize: () => Effect.die(new Error("an isolated handler has no executor of its own")),
      stopped: Effect.never,
    }),
  )

type Program = Layer.Layer<
  never,
  unknown,
  Executor | Scheduler | Triggers | Breakers | Groups | Locks
>

const load = async (): Promise<Handler> => {
  let handler: Handler | undefined
  const modules = await Promise.all(
    opening.entries.map((entry) => import(entry) as Promise<{ readonly default?: unknown }>),
  )
  const programs = modules.map(({ default: program }, at) => {
    if (Layer.isLayer(program)) return program as Program
    throw new Refused({
      field: "entry",
      reason: `the default export of ${opening.entries[at]} is not a layer of tasks`,
      remedy: "Export the layer of its handlers, without an executor, by default",
    })
  })
  const all = programs.reduce((all, each) => Layer.merge(all, each), Layer.empty as Program).pipe(
    Layer.provide(taking((found) => handler = found)),
    Layer.provide(scheduler),
    Layer.provide(declared.layer(() => isBuilding)),
    Layer.provideMerge(Layer.succeed(CurrentNamespace, Namespace.make(opening.namespace))),
  )
  // It lives as long as the place does.
  await Effect.runPromise(Layer.buildWithScope(all, await Effect.runPromise(Scope.make())))
  isBuilding = false
  if (handler !== undefined) return handler
  throw new Refused({
    field: "entry",
    reason: `${opening.entries.join(", ")} has no handler of the task "${opening.task}"`,
    remedy: "Name the module whose default export is the layer of the handler",
  })
}

const runOf = (data: RunData, say: (saying: Saying) => void): CurrentRun["Service"] => ({
  ...data,
  id: RunId.make(data.id),
  namespace: Namespace.make(data.namespace),
  task: TaskName.make(data.task),
  fence: Fence.make(data.fence),
  // What is absent is left out on the way.
  slot: data.slot,
  idempotencyKey: data.idempotencyKey,
  shard: data.shard,
  timeoutMillis: data.timeoutMillis,
  deadline: data.deadline,
  checkpoint: data.checkpoint,
  result: data.result,
  keep: (checkpoint) =>
    checkpoint.length > checkpointMax
      ? Effect.fail(
        new Refused({
          field: "checkpoint",
          reason: `it has ${checkpoint.length} characters, more than ${checkpointMax}`,
          remedy: "Keep the data elsewhere, and here where it is",
        }),
      )
      : Effect.sync(() => say({ _tag: "Keep", checkpoint })),
  recall: (key) => asked((call) => say({ _tag: "Recall", call, key })),
  remember: (key, state) =>
    Effect.flatMap(
      Effect.fromResult(keptOf(key, state)),
      (kept) => Effect.sync(() => say({ _tag: "Remember", ...kept })),
    ),
  progress: (said) => Effect.sync(() => say({ _tag: "Progress", said })),
  say: (level, text) => say({ _tag: "Line", level, text }),
  handOver: (timeout) =>
    Effect.suspend(() => {
      say(farScheduler.handOver(timeout))
      return Effect.interrupt
    }),
})

const stepOf = (
  { carryOut, hooks = {} }: Handler,
  step: Step,
  payload: string,
  run: CurrentRun["Service"],
): Effect.Effect<string | void | undefined, Unsuccessful> => {
  switch (step._tag) {
    case "CarryOut":
      return carryOut(payload, run)
    case "Prepare":
      return hooks.prepare?.(payload, run) ?? Effect.void
    case "Rollback":
      return hooks.rollback?.(payload, run, step.failure) ?? Effect.void
    case "Clean":
      return hooks.clean?.(payload, run, step.ended) ?? Effect.void
    case "Summary":
      return hooks.summary?.(payload, run, step.ended) ?? Effect.void
  }
}

const endOf = (exit: Exit.Exit<string | void | undefined, Unsuccessful>): Saying => {
  if (Exit.isSuccess(exit)) {
    return { _tag: "Succeeded", ...(typeof exit.value === "string" && { value: exit.value }) }
  }
  if (Cause.hasInterruptsOnly(exit.cause)) return { _tag: "Stopped" }
  const declared = Exit.findErrorOption(exit)
  return {
    _tag: "Unsuccessful",
    unsuccessful: declared._tag === "Some"
      ? declared.value
      : { failure: failureOfCause(exit.cause), isAnswer: false },
  }
}

const serve = (handler: Handler): void => {
  let fiber: Fiber.Fiber<unknown, unknown> | undefined
  listen((order) => {
    switch (order._tag) {
      case "Do": {
        const { payload, run, step, turn } = order
        const say = (saying: Saying) => tell({ ...saying, turn })
        const work = stepOf(handler, step, payload, runOf(run, say))
        const doing = Effect.runForkWith(handler.context as Context.Context<never>)(work)
        fiber = doing
        doing.addObserver((exit) => {
          fiber = undefined
          say(endOf(exit))
        })
        break
      }
      case "Stop":
        fiber?.interruptUnsafe()
        break
      case "Answer":
        answered(order.call, order.answer)
    }
  })
  tell({ _tag: "Ready" })
}

load().then(serve, (cause) => tell({ _tag: "Unfit", failure: failureOf(cause) }))
