/** Runs, over REST. */
import { Duration, Effect, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { standard } from "../../core/domain/Namespace.ts"
import { Scheduler } from "../../core/engine/Scheduler.ts"
import { Storage } from "../../core/services/Storage.ts"
import { Api } from "./Api.ts"
import { refusal, runOf, runUnknown, storageProblem, summaryOf, taskUnknown } from "./answers.ts"
import * as Problems from "./Problems.ts"

export const layer = HttpApiBuilder.group(
  Api,
  "runs",
  Effect.fnUntraced(function* (handlers) {
    const scheduler = yield* Scheduler
    const { tasks } = yield* Storage

    const errors = {
      StorageUnavailable: storageProblem,
      RunUnknown: ({ run }: { readonly run: number }) => Effect.fail(runUnknown(run)),
    }

    return handlers.handleAll({
      submit: Effect.fnUntraced(
        function* ({ headers, payload: wanted }) {
          const namespace = wanted.namespace ?? standard
          const task = yield* tasks.find(namespace, wanted.task)
          if (Option.isNone(task)) {
            return yield* taskUnknown(namespace, wanted.task, yield* tasks.list(namespace))
          }
          const idempotencyKey = headers["idempotency-key"]
          const { isNew, run, state } = yield* scheduler.submit({
            task: wanted.task,
            payload: JSON.stringify(wanted.payload ?? {}),
            policy: task.value.definition.policy,
            blockingKey: wanted.blockingKey,
          }, {
            namespace,
            delay: Duration.millis(wanted.delayMillis ?? 0),
            ...(wanted.level !== undefined && { level: wanted.level }),
            ...(idempotencyKey !== undefined && { idempotencyKey }),
          })
          return isNew
            ? { run, state, isNew: true as const }
            : { run, state, isNew: false as const }
        },
        Effect.catchTags({
          StorageUnavailable: (error) =>
            error instanceof Problems.StorageUnavailable
              ? Effect.fail(error)
              : storageProblem(error),
          Refused: (refused) => Effect.fail(refusal(refused)),
          KeyConflict: (conflict) =>
            Effect.fail(
              new Problems.KeyConflict({
                detail: `${capital(conflict.message)}.`,
                remedy: "Use a key of its own for each request.",
                field: "idempotency-key",
                reason: "it was used with another task or payload",
                run: conflict.run,
              }),
            ),
        }),
      ),

      list: Effect.fnUntraced(function* ({ query }) {
        const limit = query.limit ?? 50
        const views = yield* scheduler.list({
          namespace: query.namespace ?? standard,
          limit: limit + 1,
          ...(query.task !== undefined && { task: query.task }),
          ...(query.state !== undefined && { states: query.state }),
          ...(query.cursor !== undefined && { before: query.cursor }),
        })
        const items = views.slice(0, limit).map(summaryOf)
        const last = items[items.length - 1]
        return { items, next: views.length > limit && last ? String(last.id) : null }
      }, Effect.catchTag("StorageUnavailable", storageProblem)),

      get: ({ params }) =>
        Effect.map(scheduler.find(params.id), runOf).pipe(Effect.catchTags(errors)),

      events: ({ params }) =>
        Effect.map(scheduler.events(params.id), (items) => ({ items })).pipe(
          Effect.catchTags(errors),
        ),

      why: ({ params }) => scheduler.why(params.id).pipe(Effect.catchTags(errors)),

      cancel: ({ params }) =>
        Effect.map(scheduler.cancel(params.id), (answer) => ({ run: params.id, answer })).pipe(
          Effect.catchTags(errors),
        ),
    })
  }),
)

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
