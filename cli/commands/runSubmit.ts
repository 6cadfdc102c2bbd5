/** `belfry run submit`: submits a run, and waits for its end if asked to. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { Run } from "../../cluster/api/Views.ts"
import { childrenMax } from "../../core/domain/FanIn.ts"
import { isFinal } from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { TaskName } from "../../core/domain/Task.ts"
import type { Connection } from "../Connection.ts"
import { client, duration, idempotencyKey, level, namespace, whole } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { parsedJson } from "../parsedJson.ts"
import { Problem } from "../Problem.ts"
import { asHere } from "../started.ts"

export const runSubmit = Command.make("submit", {
  ...client,
  namespace,
  task: Argument.String("task").pipe(Argument.withDescription("Name of the task")),
  payload: Argument.String("payload").pipe(
    Argument.withDescription("JSON that fits the task's payload schema, {} unless given"),
    Argument.optional,
  ),
  delay: duration("delay").pipe(
    Flag.withDescription("Due this long after now: 500ms, 90s, 10m, 2h, 1d"),
    Flag.optional,
  ),
  deadline: duration("deadline").pipe(
    Flag.withDescription("Expired if it was not begun so long after now"),
    Flag.optional,
  ),
  shards: whole("shards", { from: 1, to: childrenMax }).pipe(
    Flag.withDescription("Cut it into so many shards, under a parent that ends when they all have"),
    Flag.optional,
  ),
  level: level.pipe(
    Flag.withDescription("0 to 4, or by its word; of the task unless named"),
    Flag.optional,
  ),
  key: idempotencyKey.pipe(
    Flag.withDescription("Idempotency key: a second submit with it answers with the first run"),
    Flag.optional,
  ),
  by: Flag.String("by").pipe(
    Flag.withDescription("Who asks for it, as is told with the run"),
    Flag.optional,
  ),
  wait: Flag.Boolean("wait").pipe(
    Flag.withDescription("Wait for the end; exit code 7 unless the run succeeds"),
    Flag.withDefault(false),
  ),
}, (given) =>
  lazily(
    () => import("../Connection.ts"),
    Effect.fnUntraced(function* ({ inNamespace, open }) {
      const payload = yield* parsedJson(
        "payload",
        given.payload,
        `belfry run submit hello/world '{"name":"you"}'`,
      )
      const connection = yield* open(given)
      const submitted = yield* connection.call((api) =>
        api.runs.submit({
          headers: Option.isSome(given.key) ? { "idempotency-key": given.key.value } : {},
          payload: {
            ...inNamespace(given.namespace),
            task: given.task as TaskName,
            payload: payload ?? {},
            ...(Option.isSome(given.by) && { by: given.by.value }),
            ...(Option.isSome(given.shards) && { shards: given.shards.value }),
            ...(Option.isSome(given.deadline) && { deadlineMillis: given.deadline.value }),
            ...(Option.isSome(given.delay) && { delayMillis: given.delay.value }),
            ...(Option.isSome(given.level) && { level: given.level.value }),
          },
        })
      )
      if (given.wait) return yield* untilEnded(connection, submitted.run, given.json)
      if (given.json) return Output.printJson({ ...submitted, run: String(submitted.run) })
      Output.print(String(submitted.run))
      const talk = submitted.isNew ? submitted.state : `${submitted.state}, submitted before`
      Output.talk(`run ${submitted.run} is ${talk}; ${asHere(`belfry run show ${submitted.run}`)}`)
    }),
  )).pipe(
    Command.withDescription("Submit a run of a task"),
    Command.withExamples([
      {
        command: `belfry run submit hello/world '{"name":"you"}' --wait`,
        description: "Submit, wait for the end, print the result",
      },
      {
        command: "belfry run submit reports/monthly --delay 2h --key monthly-2031-04",
        description: "Due in two hours, and only once however often it is submitted",
      },
    ]),
  )

/** Prints the result, or fails with why there is none. */
export const untilEnded = Effect.fnUntraced(function* (
  { call }: Connection,
  id: RunId,
  json: boolean,
) {
  if (process.stderr.isTTY) Output.talk(Output.styleTalk("dim", `run ${id} is under way`))
  // Looks often at first, for the short runs that people wait for.
  for (let pause = 10;; pause = Math.min(500, pause * 1.5)) {
    const run = yield* call((api) => api.runs.get({ params: { id }, query: {} }))
    if (isFinal(run.state)) return yield* ended(run, json)
    yield* Effect.sleep(pause)
  }
})

const ended = Effect.fnUntraced(function* (run: Run, json: boolean) {
  if (json) {
    const { runJson } = yield* Effect.promise(() => import("../views.ts"))
    Output.printJson(runJson(run))
  } else if (run.result !== undefined) Output.printJson(run.result)
  const took = run.finishedAt!.epochMilliseconds - run.createdAt.epochMilliseconds
  const summary = `run ${run.id} is ${run.state} after ${Output.millis(took)}, ` +
    `attempt ${run.attempt}`
  if (run.state === "Succeeded") {
    if (!json) Output.talk(summary)
    return
  }
  return yield* new Problem({
    kind: "unsuccessful",
    what: run.failure === undefined
      ? summary
      : `${summary}\n  ${run.failure.tag}: ${run.failure.message}`,
    hint: `belfry run events ${run.id}`,
  })
})
