/**
 * A subscription says who is to be told how the runs of a task end. Each such end is an event: a row
 * of the outbox for each subscription, written with the outcome, taken by whoever carries it on.
 */
import { Schema } from "effect"
import { Ends } from "./Ends.ts"
import { Namespace } from "./Namespace.ts"
import { TaskName } from "./TaskName.ts"
import * as Text from "./Text.ts"
import { partitionOf, type TriggerName } from "./Trigger.ts"

/** Who takes the events of a subscription: each consumer takes its own. */
export const Consumer = Schema.String.check(
  Schema.isPattern(/^[a-z][a-z0-9-]{0,62}$/, {
    message: "a consumer has 1 to 63 small letters, digits or '-', the first a letter",
  }),
).pipe(Schema.brand("Consumer"))
export type Consumer = typeof Consumer.Type

/** Fires the triggers that follow a task. */
export const triggers = Consumer.make("triggers")

export const Subscription = Schema.Struct({
  namespace: Namespace,
  consumer: Consumer,
  /** One per namespace and consumer. */
  name: Schema.NonEmptyString.check(Schema.isMaxLength(127), Text.kept),
  task: TaskName,
  on: Ends,
})
export type Subscription = typeof Subscription.Type

/** Its events lie where a trigger of its name would, so that who holds one takes the other. */
export const partition = (
  { name, namespace }: Pick<Subscription, "namespace" | "name">,
): number => partitionOf(namespace, name as TriggerName)
