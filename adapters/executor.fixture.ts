/**
 * An executor as a process of its own. It says what it begins and how that ended, each in a line:
 * `began RUN FENCE`. For `executors.test.ts`.
 */
import { Effect, Exit, Layer, Redacted, Schema } from "effect"
import { writeSync } from "node:fs"
import { CurrentRun } from "../core/engine/CurrentRun.ts"
import { Executor } from "../core/engine/Executor.ts"
import * as Task from "../core/engine/Task.ts"
import type { Lock } from "../core/services/Lock.ts"
import type { Storage } from "../core/services/Storage.ts"
import type { Wakeups } from "../core/services/Wakeups.ts"
import * as Direct from "./direct/mod.ts"
import * as Postgres from "./postgres/mod.ts"
import * as Sqlite from "./sqlite/mod.ts"

/** All that is kept at an address: a file, or the URL of a server. */
export const storageAt = (address: string): Layer.Layer<Storage | Wakeups | Lock, unknown> =>
  address.startsWith("postgres")
    ? Postgres.layer({ url: Redacted.make(address) })
    : Sqlite.layer({ file: address })

export const ttlMillis = 2000

/** `hang`: it goes on for ever where it is carried out by one that was told to hang. */
export const Work = Task.make("work", {
  payload: { how: Schema.Literals(["slow", "hang"]) },
  success: Schema.String,
})
/** It goes on for longer than it may. */
export const Timed = Task.make("timed", { policy: { timeout: "3 seconds" } })
export const Poison = Task.make("poison", { policy: { crashesMax: 0 } })

/** A handler that leaves its traces outside of the product. */
const traced = <A>(work: Effect.Effect<A, never, CurrentRun>, say: (what: string) => void) =>
  CurrentRun.use(({ fence, id }) => {
    say(`began ${id} ${fence}`)
    return Effect.onExit(
      work,
      (exit) =>
        Effect.sync(() => say(`${Exit.isSuccess(exit) ? "ended" : "stopped"} ${id} ${fence}`)),
    )
  })

export const executing = (
  name: string,
  isHanging: boolean,
  say: (what: string) => void = () => {},
  ttl = ttlMillis,
) =>
  Layer.mergeAll(
    Work.toLayer(({ how }) =>
      traced(
        (how === "hang" && isHanging ? Effect.never : Effect.sleep(how === "slow" ? "1 second" : 0))
          .pipe(Effect.as(name)),
        say,
      )
    ),
    Timed.toLayer(() => traced(Effect.never, say)),
    Poison.toLayer(() => traced(Effect.sync(() => void process.kill(process.pid, "SIGKILL")), say)),
  ).pipe(
    Layer.provide(Executor.layerWith({ name, ttl, concurrency: 20 })),
    Layer.provide(Direct.layer),
  )

if (import.meta.main) {
  const [, , address = "", name = "", how = "", ttl = `${ttlMillis}`] = process.argv
  const say = (what: string) => void writeSync(1, `${what}\n`)
  await Effect.runPromise(
    Layer.launch(
      executing(name, how === "hang", say, Number(ttl)).pipe(Layer.provide(storageAt(address))),
    ),
  )
}
