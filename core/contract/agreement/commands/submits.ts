/** Runs and families of runs come in. */
import { Effect } from "effect"
import type { Gate } from "../../../domain/Blocking.ts"
import { type Level, levels } from "../../../domain/Lane.ts"
import type { Namespace } from "../../../domain/Namespace.ts"
import type { FamilySubmitted, RunSpec, Submitted } from "../../../services/RunStorage.ts"
import type { Draws } from "../Draws.ts"
import { type Command, gatesOf, lanesOf, namespaces, tasks, type World } from "../World.ts"

/** Mostly the first, so that runs meet there. */
export const someNamespace = (draws: Draws): Namespace =>
  draws.chance(0.8) ? namespaces[0]! : namespaces[1]!

const delays = [1, 500, 1000, 20_000, 60_000, 600_000]

/** A run without a gate or a key. */
const plainSpec = (draws: Draws, namespace: Namespace): RunSpec => {
  const lane = draws.oneOf([0, 0, 0, 1, 2])
  const level: Level = draws.oneOf([1, 1, ...levels])
  return {
    namespace,
    task: tasks[lane % 2]!,
    payload: draws.oneOf(['"a"', '{"b":1, "a":[]}', "null"]),
    lane: lanesOf(namespace)[lane]!,
    level,
    delayMillis: draws.chance(0.25) ? draws.oneOf(delays) : 0,
    gate: undefined,
    idempotencyKey: undefined,
    isAtMostOnce: draws.chance(0.25),
    crashesMax: draws.oneOf([0, 1, 3]),
    deadlineMillis: draws.chance(0.2) ? draws.oneOf(delays) : undefined,
  }
}

/** Mostly the first two, so that several wait there at once. */
const someGate = (draws: Draws, namespace: Namespace): Gate => {
  const gates = gatesOf(namespace)
  return draws.oneOf(draws.chance(0.5) ? gates.slice(0, 2) : gates)
}

export const someSpec = (draws: Draws, namespace: Namespace): RunSpec => ({
  ...plainSpec(draws, namespace),
  gate: draws.chance(0.5) ? someGate(draws, namespace) : undefined,
})

const keys = ["key a", "key b", "key c"]

const remember = (world: World, run: string, { deadlineMillis }: RunSpec) => {
  if (deadlineMillis !== undefined) world.deadlines.set(run, world.now + deadlineMillis)
}

const short = (
  { deadlineMillis, delayMillis, gate, idempotencyKey, isAtMostOnce, lane, level, payload }:
    RunSpec,
): string =>
  [
    `${lane} ${payload} level ${level}`,
    ...(gate === undefined ? [] : [`gate ${gate.key}`]),
    ...(delayMillis === 0 ? [] : [`in ${delayMillis}`]),
    ...(deadlineMillis === undefined ? [] : [`within ${deadlineMillis}`]),
    ...(idempotencyKey === undefined ? [] : [idempotencyKey]),
    ...(isAtMostOnce ? ["at most once"] : []),
  ].join(", ")

/** All of one call have a key, or none has: in which order others come in is not told (R8). */
export const submit: Command = (world, draws) => {
  const isKeyed = draws.chance(0.25)
  const specs = Array.from({ length: draws.oneOf([1, 1, 2, 3, 6]) }, () => ({
    ...someSpec(draws, someNamespace(draws)),
    ...(isKeyed && { idempotencyKey: draws.oneOf(keys) }),
  }))
  return {
    says: `submit ${specs.map(short).join("; ")}`,
    on: ({ storage }) => storage.runs.submit(specs),
    learn: (answers: ReadonlyArray<Submitted>) => {
      for (const [at, answer] of answers.entries()) {
        if (answer._tag === "Submitted" && answer.isNew) {
          remember(world, `${answer.run}`, specs[at]!)
        }
      }
    },
  }
}

export const submitFamily: Command = (world, draws) => {
  const namespace = someNamespace(draws)
  const parent: RunSpec = {
    ...plainSpec(draws, namespace),
    delayMillis: 0,
    deadlineMillis: undefined,
    isAtMostOnce: false,
    idempotencyKey: draws.chance(0.2) ? draws.oneOf(keys) : undefined,
  }
  const children = Array.from(
    { length: draws.oneOf([1, 2, 3]) },
    () => plainSpec(draws, namespace),
  )
  const places = draws.oneOf([1, 2, 3])
  return {
    says: `family ${short(parent)} of ${children.map(short).join("; ")}, ${places} at once`,
    on: ({ storage }) =>
      Effect.map(
        storage.runs.submitFamily({ parent, children, places }),
        // Named in the order of the specs, the parent first.
        (answer) => answer._tag === "Conflict" ? answer : { aRun: answer.run, answer },
      ),
    learn: (told: { readonly answer?: FamilySubmitted }) => {
      const { answer } = told
      if (answer?._tag !== "Submitted" || !answer.isNew) return
      world.parents.add(`${answer.run}`)
      for (const [at, child] of answer.children.entries()) {
        remember(world, `${child}`, children[at]!)
      }
    },
  }
}
