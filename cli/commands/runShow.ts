/** `belfry run show`: everything known about a run. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import * as Asked from "../../core/domain/Asked.ts"
import { wordOf } from "../../core/domain/Lane.ts"
import * as Progress from "../../core/domain/Progress.ts"
import type { RunId } from "../../core/domain/RunId.ts"
import { client, runId, vocabulary } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

export const runShow = Command.make(
  "show",
  { ...client, ...vocabulary, id: runId },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ inVocabulary, open }, { progressJson, runJson }]) {
        const { call } = yield* open(given)
        const run = yield* call((api) =>
          api.runs.get({
            params: { id: given.id as RunId },
            query: inVocabulary(given.vocabulary),
          })
        )
        const { progress } = yield* call((api) =>
          api.runs.progress({ params: { id: given.id as RunId } })
        )
        if (given.json) {
          const said = progress === null ? {} : progressJson({ progress }) as object
          return Output.printJson({ ...runJson(run) as object, ...said })
        }
        const time = (at: DateTime.Utc | undefined) => at && DateTime.formatIso(at)
        Output.print(Output.facts([
          ["run", String(run.id)],
          ["task", run.task],
          ["namespace", run.namespace],
          [
            "state",
            Output.state(run.state) +
            (run.phase === undefined
              ? ""
              : run.phase === "cleaning"
              ? ", cleaning"
              : ", rolling back") +
            (run.isCancelling
              ? ", asked to stop"
              : run.isSuspending
              ? ", asked to be put down"
              : ""),
          ],
          [
            "shard",
            run.shard && `${run.shard.index} of ${run.shard.count}, parent ${run.shard.parent}`,
          ],
          ["attempt", `${run.attempt}, fence ${run.fence}, crashes ${run.crashes}`],
          ["progress", progress === null ? undefined : Output.plain(Progress.describe(progress))],
          ["payload", Output.plain(JSON.stringify(run.payload), 2000)],
          [
            "result",
            run.result === undefined ? undefined : Output.plain(JSON.stringify(run.result), 2000),
          ],
          [
            "failure",
            run.failure && `${run.failure.tag}: ${Output.plain(run.failure.message, 2000)}`,
          ],
          ...(run.failure?.causes ?? []).map(({ message, tag }) =>
            ["caused by", `${tag}: ${Output.plain(message, 2000)}`] as const
          ),
          [
            "lane",
            `${run.lane}, level ${run.level} (${wordOf[run.level]})` +
            (run.submittedLevel === undefined
              ? ""
              : `, submitted with ${run.submittedLevel} (${wordOf[run.submittedLevel]})`),
          ],
          ["deadline", run.deadlineAt && time(run.deadlineAt)],
          ["revision", run.revision?.toString()],
          ["gate", run.gate],
          ["key", run.idempotencyKey],
          [
            "trigger",
            run.trigger && run.trigger +
              (run.slot === undefined ? "" : `, slot ${time(run.slot)}`) +
              (run.fired?.revision === undefined ? "" : `, revision ${run.fired.revision}`) +
              (run.fired === undefined || run.fired.kind === "rule" ? "" : `, ${run.fired.kind}`) +
              (run.fired?.entry === undefined ? "" : ` ${Output.plain(run.fired.entry, 80)}`),
          ],
          ["asked", run.asked && Output.plain(Asked.textOf(run.asked))],
          ["after", run.after && `run ${run.after}`],
          ["executor", run.executor && `${run.executor.name} (${run.executor.incarnation})`],
          [
            "placed",
            run.placed &&
            `with ${run.placed.name} (${run.placed.incarnation}), by ${run.placed.strategy}, ` +
              `at ${time(run.placed.at)}`,
          ],
          ["created", time(run.createdAt)],
          ["due", time(run.dueAt)],
          ["claimed", time(run.claimedAt)],
          ["finished", time(run.finishedAt)],
        ]))
      }),
    ),
).pipe(
  Command.withDescription("Show everything known about a run"),
  Command.withExamples([{ command: "belfry run show 123456789 --json" }]),
)
