/**
 * Which server processes there are. A server that is alone answers for itself; `ClusterOwnership`
 * answers for all that share its storage.
 */
import { Context, Effect } from "effect"
import type { SchedulerView } from "./api/Views.ts"

export const Schedulers = Context.Reference<Effect.Effect<ReadonlyArray<SchedulerView>>>(
  "belfry/cluster/Schedulers",
  { defaultValue: () => Effect.succeed([{ name: "alone", isSelf: true, isHealthy: true }]) },
)
