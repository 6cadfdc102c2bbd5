/**
 * Beats from a thread of their own, for executors whose handlers may block theirs.
 *
 * ```ts
 * // transport.ts: its default export is the way to the server or the storage.
 * import { Redacted } from "effect"
 * import { RpcTransport } from "belfry/rpc"
 *
 * export default RpcTransport.layer({
 *   url: "ws://127.0.0.1:7080/rpc",
 *   token: Redacted.make(process.env["BELFRY_TOKEN"] ?? ""),
 * })
 * ```
 *
 * `Isolated.layerBeats({ transport: import.meta.resolve("./transport.ts") })`, provided below the
 * executor, keeps its lease while it is held up, for at most `atMost`: after that its runs are
 * somebody else's.
 */
import { Duration, Effect, Layer } from "effect"
import { Beats } from "../../core/engine/Beats.ts"
import type * as beatingChild from "./beatingChild.ts"
import { Kept } from "./Kept.ts"
import * as Thread from "./Thread.ts"

export interface BeatsOptions {
  /** A module, as a URL, whose default export is the layer of a transport, or a function to one. */
  readonly transport: string | URL
  /** What that function is called with: plain data, as it can be sent to a thread. */
  readonly given?: unknown
  /** So long the lease of an executor that is held up is kept; 10 minutes unless named. */
  readonly atMost?: Duration.Input
}

const entry: string = new URL("./beatingChild.ts", import.meta.url)
  .href satisfies beatingChild.Url

export const layerBeats = (
  { atMost = "10 minutes", given, transport }: BeatsOptions,
): Layer.Layer<Beats> =>
  Layer.effect(
    Beats,
    Effect.gen(function* () {
      const kept = new Kept()
      const opening: beatingChild.Opening = {
        transport: String(transport),
        given,
        atMostMillis: Duration.toMillis(Duration.fromInputUnsafe(atMost)),
        kept: kept.shared(),
      }
      const context = yield* Effect.context<never>()
      const worker = yield* Effect.acquireRelease(
        Effect.sync(() =>
          Thread.make(new URL(entry), {
            workerData: opening,
            // It makes little that is new, and would otherwise keep as much memory as a whole program.
            resourceLimits: { maxYoungGenerationSizeMb: 2 },
          })
        ),
        (worker) => Effect.sync(() => void worker.terminate()),
      )
      let failure: unknown
      worker.on("error", (cause) => {
        failure = cause
      })
      // An executor without it could be held up before there is anybody to beat.
      yield* Effect.callback<void>((resume) => {
        worker.once("message", () => resume(Effect.void))
        worker.once("error", () => resume(Effect.void))
      })
      worker.unref()
      return Beats.of({
        heard: (beat) => {
          // Without it the executor beats as it would have; whoever runs it should know.
          if (failure !== undefined) {
            Effect.runForkWith(context)(
              Effect.logWarning("nobody beats for an executor that is held up", failure),
            )
            failure = undefined
          }
          worker.postMessage({ beat } satisfies beatingChild.Message)
        },
        begins: (ending) => worker.postMessage({ ending } satisfies beatingChild.Message),
        keptMillisAgo: (incarnation) => kept.millisAgo(incarnation),
      })
    }),
  )
