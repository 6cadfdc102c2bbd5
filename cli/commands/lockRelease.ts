/** `belfry lock release`: frees a lock in its holder's stead. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { Fence, LockKey } from "../../core/domain/Lease.ts"
import { client, once } from "../flags.ts"
import { lazily } from "../lazily.ts"
import * as Output from "../Output.ts"

const key = Argument.String("lock").pipe(Argument.withDescription("Name of the lock"))

const fence = Flag.Int("fence").pipe(
  Flag.withDescription("Only if it is still held under this one"),
  Flag.optional,
)

export const lockRelease = Command.make(
  "release",
  { ...client, fence, once, key },
  (given) =>
    lazily(
      () => Promise.all([import("../Connection.ts"), import("../views.ts")]),
      Effect.fnUntraced(function* ([{ open }, { heldLockJson }]) {
        const { call } = yield* open(given)
        const released = yield* call((api) =>
          api.locks.release({
            payload: {
              key: given.key as LockKey,
              ...(Option.isSome(given.fence) && { fence: given.fence.value as Fence }),
            },
          })
        )
        if (given.json) return Output.printJson(heldLockJson(released))
        const { fence, holder } = released
        Output.print(`released; ${Output.plain(holder, 60)} had held it under fence ${fence}`)
      }),
    ),
).pipe(
  Command.withDescription("Free a lock; its holder finds out with its next renewal"),
  Command.withExamples([{ command: "belfry lock release search/rebuild --fence 7" }]),
)
