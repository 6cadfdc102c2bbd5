/** Locks, over REST. */
import { Duration, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { type Held, Lock } from "../../core/services/Lock.ts"
import { storageProblem } from "./answers.ts"
import { Api } from "./Api.ts"
import * as Problems from "./Problems.ts"
import type { HeldLock } from "./Views.ts"

export const layer = HttpApiBuilder.group(
  Api,
  "locks",
  Effect.fnUntraced(function* (handlers) {
    const lock = yield* Lock
    return handlers.handleAll({
      list: ({ query: { limit = 50, prefix = "" } }) =>
        lock.held({ prefix, limit }).pipe(
          Effect.map((items) => ({
            technology: lock.technology,
            fences: lock.fences,
            items: items.map(heldLock),
          })),
          Effect.catchTag("StorageUnavailable", storageProblem),
        ),

      release: ({ payload: { fence, key } }) =>
        Effect.gen(function* () {
          // A key comes before all that it is the start of.
          const [held] = yield* lock.held({ prefix: key, limit: 1 })
          if (
            held?.lease.key !== key || (fence !== undefined && held.lease.fence !== fence)
          ) return yield* free(key, fence)
          yield* lock.release(held.lease)
          return heldLock(held)
        }).pipe(Effect.catchTag("StorageUnavailable", (error) =>
          error instanceof Problems.StorageUnavailable
            ? Effect.fail(error)
            : storageProblem(error))),
    })
  }),
)

const heldLock = ({ endsIn, lease: { fence, holder, key } }: Held): HeldLock => ({
  key,
  holder,
  fence,
  endsInMillis: Math.ceil(Duration.toMillis(endsIn)),
})

const free = (key: string, fence: number | undefined) =>
  new Problems.LockFree({
    detail: `Nobody holds the lock "${key}"${fence === undefined ? "" : ` under fence ${fence}`}.`,
    remedy: "See the list of locks for who holds which.",
    field: fence === undefined ? "key" : "fence",
    reason: "there is no such lease",
  })
