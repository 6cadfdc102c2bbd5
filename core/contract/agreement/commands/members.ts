/** Executors come and go. */
import { Effect } from "effect"
import { ExecutorName } from "../../../domain/Executor.ts"
import { definitionOf } from "../../world.ts"
import { type Command, tasks } from "../World.ts"
import { someNamespace } from "./submits.ts"

const names = ["ada", "bob", "cy"].map((name) => ExecutorName.make(name))

export const join: Command = (world, draws) => {
  const namespace = someNamespace(draws)
  const joining = {
    namespace,
    name: draws.oneOf(names),
    capacity: draws.oneOf([1, 10]),
    labels: draws.chance(0.5) ? { gpu: "a100" } : {},
    ...(draws.chance(0.3) && { resources: { memory: 4 } }),
    ttlMillis: draws.oneOf([5000, 60_000, 3_600_000, 3_600_000]),
  }
  const served = draws.some(tasks, 0.8)
  return {
    says: `${joining.name} joins ${namespace} for ${joining.ttlMillis}, for ${served.join(" ")}`,
    on: Effect.fnUntraced(function* ({ storage }) {
      const incarnation = yield* storage.executors.join(joining)
      yield* storage.executors.serve(
        incarnation,
        served.map((task) => definitionOf(namespace, task)),
      )
      return { incarnation }
    }),
    learn: ({ incarnation: name }: { readonly incarnation: string }) => {
      world.hands.push({ name, namespace, rounds: [0, 0], ttlMillis: joining.ttlMillis })
    },
  }
}

/** All that are here beat, but for the one that falls silent. */
export const beatAll: Command = (world, draws) => {
  const silent = draws.chance(0.3) ? world.someHand(draws) : undefined
  const beating = world.hands.filter((hand) => hand !== silent)
  return {
    says: `all beat${silent === undefined ? "" : ` but ${silent.name}`}`,
    on: (side) =>
      Effect.forEach(
        beating,
        ({ name }) =>
          Effect.map(
            side.storage.executors.beat(side.executors.id(name), { count: 0, digest: 0 }),
            ({ _tag }) => ({ name, _tag }),
          ),
      ),
    learn: (answers: ReadonlyArray<{ readonly name: string; readonly _tag: string }>) => {
      for (const { _tag, name } of answers) if (_tag === "Lost") world.toldLost.add(name)
    },
  }
}

export const drain: Command = (world, draws) => {
  const hand = world.someHand(draws)
  return hand && {
    says: `${hand.name} drains`,
    on: (side) => side.storage.executors.drain(side.executors.id(hand.name)),
  }
}

export const leave: Command = (world, draws) => {
  const hand = world.someHand(draws)
  return hand && {
    says: `${hand.name} leaves`,
    on: (side) => side.storage.executors.leave(side.executors.id(hand.name)),
  }
}
