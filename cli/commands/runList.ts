/** `belfry run list`: the latest runs. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { StateName } from "../../core/domain/Run.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import type { TaskName } from "../../core/domain/Task.ts"
import { Word } from "../../core/domain/Vocabulary.ts"
import { anyCase, limit, list, unlessNamed, vocabulary } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"
import { unknownTask } from "../unknownTask.ts"

export const runList = Command.make("list", {
  ...list,
  ...vocabulary,
  task: Flag.String("task").pipe(Flag.withDescription("Only runs of this task"), Flag.optional),
  state: anyCase(
    "state",
    [...new Set([...StateName.literals, ...Word.literals])],
    StateName.literals,
  ).pipe(
    Flag.withDescription(
      "Only runs in this state, as in Failed, or in the words of the vocabulary; may be given several times",
    ),
    Flag.atLeast(0),
  ),
  parent: Flag.Int("parent").pipe(
    Flag.withDescription("Only the children of this run"),
    Flag.optional,
  ),
  limit: limit.pipe(
    unlessNamed(20, "At most so many, up to 500"),
  ),
  cursor: Flag.Int("cursor").pipe(
    Flag.withDescription("Go on after a page, from its `next`"),
    Flag.optional,
  ),
}, (given) =>
  lazily(
    () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
    Effect.fnUntraced(function* ([{ inNamespace, inVocabulary, open }, views]) {
      const { call } = yield* open(given)
      const page = yield* call((api) =>
        api.runs.list({
          query: {
            ...inNamespace(given.namespace),
            ...inVocabulary(given.vocabulary),
            ...(Option.isSome(given.task) && { task: given.task.value as TaskName }),
            ...(given.state.length > 0 && { state: given.state }),
            ...(Option.isSome(given.parent) && { parent: given.parent.value as RunId }),
            ...(Option.isSome(given.cursor) && { cursor: given.cursor.value as RunId }),
            limit: given.limit,
          },
        })
      )
      if (given.json) return Output.printJson(views.runPageJson(page))
      if (given.jsonl) {
        return page.items.forEach((run) => Output.printJsonLine(views.runSummaryJson(run)))
      }
      const now = Date.now()
      Output.print(Output.table(
        ["run", "task", "state", "attempt", "created", "took", "executor"],
        page.items.map((run) => [
          String(run.id),
          run.task,
          Output.state(run.state),
          String(run.attempt),
          Output.fromNow(run.createdAt.epochMilliseconds, now),
          run.finishedAt === undefined || run.claimedAt === undefined ? "" : Output.millis(
            run.finishedAt.epochMilliseconds - run.claimedAt.epochMilliseconds,
          ),
          run.executor?.name ?? "",
        ]),
      ))
      if (page.items.length === 0) {
        const { task } = given
        // A task may have runs that nobody has brought, so those are asked for first.
        const unknown = Option.isNone(task) ? undefined : yield* unknownTask(
          call((api) =>
            api.tasks.get({ params: { name: task.value }, query: inNamespace(given.namespace) })
          ),
        )
        Output.talk(unknown === undefined ? "no runs" : `no runs: ${unknown}`)
      }
      if (page.next !== null) Output.talk(`more: --cursor ${page.next}`)
    }),
  )).pipe(
    Command.withDescription("List runs, the latest first"),
    Command.withExamples([
      { command: "belfry run list --task hello/world --limit 50" },
      { command: "belfry run list --state Failed --state TimedOut --json" },
      { command: "belfry run list --vocabulary dotted --state Faulted" },
    ]),
  )
