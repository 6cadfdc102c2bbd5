/**
 * An executor for files that change: a process of its own, and a new one whenever a file it has
 * loaded was written.
 *
 * The old one goes on until the new one serves, and drains then. When the new one does not load,
 * the old one stays, and the reason is said. One that ended by itself is started again.
 */
import { Deferred, Effect, Exit, Queue, Scope } from "effect"
import { watch } from "node:fs"
import { basename, dirname, relative, resolve } from "node:path"
import type { Namespace } from "../core/domain/Namespace.ts"
import * as Child from "./Child.ts"
import { flagOf } from "./joined.ts"
import * as Output from "./Output.ts"

export interface Options {
  readonly files: ReadonlyArray<string>
  readonly namespace: Namespace
  readonly env: Readonly<Record<string, string>>
}

type Cause = { readonly changed: string } | { readonly ended: Child.Ended }

/** The tasks that the first one serves; none if it does not load. */
export const reloading = Effect.fnUntraced(function* ({ env, files, namespace }: Options) {
  const causes = yield* Queue.sliding<Cause>(1)
  const watcher = yield* Effect.acquireRelease(
    Effect.sync(() => new Watcher((changed) => Queue.offerUnsafe(causes, { changed }))),
    (watcher) => Effect.sync(() => watcher.close()),
  )
  watcher.add(files.map((file) => resolve(file)))
  const outer = yield* Effect.scope
  let current: Scope.Closeable | undefined

  const start = Effect.gen(function* () {
    const scope = yield* Scope.fork(outer)
    const ready = yield* Deferred.make<ReadonlyArray<string> | undefined>()
    const child = yield* Child.spawn({
      words: ["executor", ...files, "--name", "dev", ...flagOf(namespace)],
      env,
      onLine: (line) => Output.talk(`  ${line}`),
      onWord: (word) => {
        if (word._tag === "Loaded") watcher.add(word.files)
        if (word._tag === "Ready") Deferred.doneUnsafe(ready, Effect.succeed(word.tasks ?? []))
      },
    }).pipe(Scope.provide(scope))
    // Interrupted when it is us who end the child.
    yield* Effect.gen(function* () {
      const ended = yield* child.ended
      if (!(yield* Deferred.succeed(ready, undefined))) yield* Queue.offer(causes, { ended })
    }).pipe(Effect.forkIn(scope))
    const tasks = yield* Deferred.await(ready)
    if (tasks === undefined) {
      yield* Scope.close(scope, Exit.void)
      return undefined
    }
    if (current !== undefined) yield* Effect.forkIn(Scope.close(current, Exit.void), outer)
    current = scope
    return tasks
  })

  const again = Effect.gen(function* () {
    const cause = yield* Queue.take(causes)
    if ("changed" in cause) {
      // An editor may write several files, or one of them in pieces.
      yield* Effect.sleep(100)
      yield* Queue.clear(causes)
      Output.talk(`${relative(".", cause.changed)} has changed`)
    } else {
      const { code, signal } = cause.ended
      Output.talk(`the executor ended (${signal ?? `exit code ${code}`}), and is started again`)
      yield* Effect.sleep("1 second")
    }
    const tasks = yield* start
    if (tasks !== undefined) Output.talk(`serving ${tasks.join(", ")}`)
    else Output.talk("changed" in cause ? "the tasks of before go on" : "waiting for a change")
  })

  const first = yield* start
  if (first === undefined) Output.talk("waiting for a change")
  yield* Effect.forkScoped(Effect.forever(again))
  return first ?? []
})

/** Watches folders rather than files: many editors replace a file when they save it. */
class Watcher {
  readonly #files = new Set<string>()
  readonly #folders = new Map<string, ReturnType<typeof watch>>()
  readonly #onChange: (file: string) => void

  constructor(onChange: (file: string) => void) {
    this.#onChange = onChange
  }

  add(files: ReadonlyArray<string>) {
    for (const file of files) {
      this.#files.add(file)
      const folder = dirname(file)
      if (this.#folders.has(folder)) continue
      try {
        const watcher = watch(folder, (_, name) => {
          const changed = resolve(folder, basename(name ?? ""))
          if (this.#files.has(changed)) this.#onChange(changed)
        })
        watcher.on("error", () => {})
        this.#folders.set(folder, watcher)
      } catch {
        // There is no such folder; the loading will say so.
      }
    }
  }

  close() {
    for (const watcher of this.#folders.values()) watcher.close()
  }
}
