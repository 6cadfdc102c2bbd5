/**
 * Which server processes there are, for an ownership that knows more of them than the registry does,
 * such as their duties: `ClusterOwnership` answers for all members of its cluster.
 */
import { Context, type Effect } from "effect"
import type { SchedulerView } from "./api/Views.ts"

export const Schedulers = Context.Reference<
  Effect.Effect<ReadonlyArray<SchedulerView>> | undefined
>("belfry/cluster/Schedulers", { defaultValue: () => undefined })
