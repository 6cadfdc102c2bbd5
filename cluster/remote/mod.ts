/**
 * A program that belongs to a server elsewhere: it carries out, submits and schedules over one address
 * and a token, opens connections and takes none, and knows no database.
 *
 * ```ts
 * import { Effect, Layer, Redacted, Schema } from "effect"
 * import { Task, Trigger } from "belfry"
 * import * as Remote from "belfry/remote"
 *
 * const Greet = Task.make("greet", { payload: { name: Schema.String }, success: Schema.String })
 *
 * const GreetLive = Greet.toLayer(({ name }) => Effect.succeed(`Hello, ${name}!`))
 * const nightly = Greet.schedule("nightly", Trigger.cron("0 3 * * *"), { name: "night owls" })
 *
 * export const Main = Layer.mergeAll(GreetLive, nightly).pipe(
 *   Layer.provide(Remote.layerWith({
 *     url: ["https://one.example.org", "https://two.example.org"],
 *     token: Redacted.make(process.env["BELFRY_TOKEN"] ?? ""),
 *     labels: { site: "cellar" },
 *   })),
 * )
 * ```
 *
 * Several servers are several over one storage, and any of them will do: the executor joins the first
 * that answers, and is with another within a second when that is gone; what is submitted goes to
 * another one at once. An order whose answer was lost is given again under a key of its own, and so
 * is carried out once.
 *
 * A server knows a task once an executor, or a schedule of it, has brought it, and a submit counts with
 * the policy that the server knows. A lock is kept where it is renewed, so `Locks` refuses here.
 */
import { Effect, Layer, type Redacted } from "effect"
import * as RpcTransport from "../../adapters/rpc/RpcTransport.ts"
import type { Refused } from "../../core/domain/Refused.ts"
import type { Breakers } from "../../core/engine/Breakers.ts"
import { Executor, type ExecutorOptions } from "../../core/engine/Executor.ts"
import type { Groups } from "../../core/engine/Groups.ts"
import type { Locks } from "../../core/engine/Locks.ts"
import type { Scheduler } from "../../core/engine/Scheduler.ts"
import type { Triggers } from "../../core/engine/Triggers.ts"
import type { JoinRefused, Transport } from "../../core/services/Transport.ts"
import { firstUp } from "./firstUp.ts"
import * as RemoteBreakers from "./RemoteBreakers.ts"
import * as RemoteGroups from "./RemoteGroups.ts"
import * as RemoteLocks from "./RemoteLocks.ts"
import * as RemoteScheduler from "./RemoteScheduler.ts"
import * as RemoteTriggers from "./RemoteTriggers.ts"

export interface Address {
  /** As in `https://belfry.example.org`. Of several over one storage any will do. */
  readonly url: string | ReadonlyArray<string>
  readonly token: Redacted.Redacted<string>
}

export interface Options extends ExecutorOptions, Address {}

type Services = Scheduler | Triggers | Locks | Breakers | Groups

/** All that `belfry/embedded` has, at a server. */
export const layerWith = (
  { token, url, ...options }: Options,
): Layer.Layer<Executor | Services, Refused | JoinRefused> =>
  Layer.merge(
    Executor.layerWith(options).pipe(Layer.provide(layerTransport({ token, url }))),
    layerServices({ token, url }),
  )

/** For programs that carry nothing out. */
export const layerServices = (address: Address): Layer.Layer<Services> => {
  const options = { urls: urlsOf(address), token: address.token }
  return Layer.mergeAll(
    RemoteScheduler.layer(options),
    RemoteTriggers.layer(options),
    RemoteBreakers.layer(options),
    RemoteGroups.layer(options),
    RemoteLocks.layer,
  )
}

/** What an executor joins over: for each connection the first server that answers. */
export const layerTransport = (address: Address): Layer.Layer<Transport> =>
  RpcTransport.layer({
    url: Effect.map(firstUp(urlsOf(address)), (url) => `${url.replace(/^http/, "ws")}/rpc`),
    token: address.token,
  })

export const urlsOf = ({ url }: Address): ReadonlyArray<string> =>
  (typeof url === "string" ? [url] : url).map((each) => each.replace(/\/+$/, ""))
