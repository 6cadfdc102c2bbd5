/** The orders that a task may name, and none, for suites that try each. */
import { Effect } from "effect"
import * as Lane from "../domain/Lane.ts"
import type { Namespace } from "../domain/Namespace.ts"
import { TaskDefinition } from "../domain/Task.ts"
import { Storage } from "../services/Storage.ts"
import { definitionOf } from "./world.ts"

export type Name = "usual" | Lane.Order
export const orders: ReadonlyArray<Name> = ["usual", ...Lane.Order.literals]
export const words: Readonly<Record<Name, string>> = {
  usual: "by its deadline or its patience",
  age: "by its age",
  deadline: "by its deadline alone",
}

/** A task whose policy names the order, or none. */
export const taskIn = (namespace: Namespace, order: Name, name = "hurried") =>
  Effect.gen(function* () {
    const { tasks } = yield* Storage
    const { policy, ...definition } = definitionOf(namespace, name)
    const named = order === "usual" ? {} : { order }
    yield* tasks.define([new TaskDefinition({ ...definition, policy: { ...policy, ...named } })])
    return definition.name
  })
