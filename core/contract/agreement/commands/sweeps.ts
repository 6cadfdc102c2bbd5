/**
 * What schedulers do now and again for all runs. Which of several a bounded call takes is open, so
 * they are called until there is no more to do, and what they did is compared as a whole.
 */
import { Effect } from "effect"
import type { GateKey } from "../../../domain/Blocking.ts"
import * as Share from "../../../domain/Share.ts"
import type { Admission } from "../../../services/RunStorage.ts"
import type { Side } from "../Side.ts"
import { asSet, type Command, gatesOf, type Granted, namespaces, type World } from "../World.ts"

const limits = [1, 2, 500]
/** Nothing takes so many calls. */
const callsMax = 500

/** Of everything that a sequence makes there is less. */
const plenty = 1000

/** All answers, until one `isLast`. */
const untilDone = <A, E>(call: Effect.Effect<A, E>, isLast: (answer: A) => boolean) =>
  Effect.gen(function* () {
    const answers: Array<A> = []
    for (let nth = 0; nth < callsMax; nth++) {
      const answer = yield* call
      answers.push(answer)
      if (isLast(answer)) return answers
    }
    return yield* Effect.die(new Error("a sweep comes to no end"))
  })

const namesOf = (side: Side, lists: ReadonlyArray<ReadonlyArray<unknown>>) =>
  asSet([...new Set(side.named(lists.flat(), "lost") as Array<string>)])

/** What has begun, or ended otherwise, may count for the limit, so in the end there is none. */
export const everyExpiry = Effect.fnUntraced(function* (side: Side, limit = plenty) {
  const { runs } = side.storage
  const some = yield* untilDone(runs.expire(limit), (answer) => answer.runs.length === 0)
  const answers = [...some, yield* runs.expire(plenty)]
  return {
    runs: asSet(side.named(answers.flatMap((answer) => answer.runs)) as Array<unknown>),
    freed: namesOf(side, answers.map(({ freed }) => freed)) as Array<string>,
  }
})

export const expire: Command = (_, draws) => {
  const limit = draws.oneOf(limits)
  return { says: `expire ${limit} at a time`, on: (side) => everyExpiry(side, limit) }
}

export const promote: Command = (_, draws) => {
  const limit = draws.oneOf(limits)
  return {
    says: `promote ${limit} at a time`,
    on: (side) =>
      Effect.map(
        untilDone(side.storage.runs.promote(limit), ({ promoted }) => promoted === 0),
        (answers) => ({
          promoted: answers.reduce((sum, { promoted }) => sum + promoted, 0),
          gates: namesOf(side, answers.map(({ gates }) => gates)),
          nextInMillis: answers.at(-1)!.nextInMillis,
        }),
      ),
  }
}

/** Whom a beat has told of its loss already, a sweep need not find lost once more. */
export const recover: Command = (world, draws) => {
  const limit = draws.oneOf(limits)
  return {
    says: `recover ${limit} at a time`,
    on: (side) =>
      Effect.map(
        untilDone(
          side.storage.runs.recover(limit),
          ({ lost, runs }) => lost.length + runs.length === 0,
        ),
        (answers) => ({
          lost: namesOf(side, answers.map(({ lost }) => lost))
            .filter((lost) => !world.toldLost.has(`${lost}`)),
          runs: asSet(side.named(answers.flatMap(({ runs }) => runs)) as Array<unknown>),
          freed: namesOf(side, answers.map(({ freed }) => freed)),
        }),
      ),
  }
}

/** Which of those that are late is said first is open. */
export const everyEnding = (side: Side, limit = plenty) =>
  Effect.map(
    untilDone(side.storage.runs.endOverdue(limit), ({ nextInMillis }) => nextInMillis !== 0),
    (answers) => ({
      reports: asSet(side.named(answers.flatMap(({ reports }) => reports)) as Array<unknown>),
      freed: namesOf(side, answers.map(({ freed }) => freed)),
    }),
  )

/** They are settled as if their holders had said so. */
export const learnEnded = (
  world: World,
  { reports }: { readonly reports: ReadonlyArray<unknown> },
) => {
  for (const { fence, run } of reports as ReadonlyArray<Omit<Granted, "hand">>) {
    const granted = world.grants.find((each) => each.run === run && each.fence === fence)
    if (granted !== undefined) world.settled.set(run, { fence, hand: granted.hand })
  }
}

export const endOverdue: Command = (world, draws) => {
  const limit = draws.oneOf(limits)
  return {
    says: `say what is overdue, ${limit} at a time`,
    on: (side) => everyEnding(side, limit),
    learn: (answer: { readonly reports: ReadonlyArray<unknown> }) => learnEnded(world, answer),
  }
}

/** Gates of a pool are decided about together. */
const poolOf = (gate: GateKey): string => Share.isGate(gate) ? Share.poolOf(gate) : gate

/** About each gate in order, and about a pool; about several, one after the other or otherwise. */
const admitted = (side: Side, gates: ReadonlyArray<GateKey>) =>
  Effect.map(
    untilDone(side.storage.runs.admit(gates), ({ length }) => length === 0),
    (answers) => {
      const all = side.named(answers.flat()) as ReadonlyArray<Admission>
      return new Set(gates.map(poolOf)).size > 1 ? asSet(all) : all
    },
  )

export const admit: Command = (world, draws) => {
  const families = [...world.parents].map((parent) => `:children of ${parent}` as GateKey)
  const known = [
    ...namespaces.flatMap((namespace) => gatesOf(namespace).map(({ key }) => key)),
    ...families,
  ]
  const gates = draws.chance(0.7) ? [draws.oneOf(known)] : draws.some(known, 0.5)
  return {
    says: `admit at ${gates.join(", ") || "no gate"}`,
    on: (side) => admitted(side, gates.map((gate) => side.real(gate))),
  }
}

/** By pool, of whose gates one may stand for all that it knows. */
const openPools = (side: Side) =>
  Effect.map(side.storage.runs.openGates(500), (open) => {
    const names = namesOf(side, [open]) as ReadonlyArray<GateKey>
    const pools = Map.groupBy(names, poolOf)
    return { pools, open: asSet([...pools.keys()]) as ReadonlyArray<string> }
  })

/** As a sweep does: at all gates that are open. */
export const admitOpen: Command = () => ({
  says: "admit at open gates",
  on: Effect.fnUntraced(function* (side) {
    const { open, pools } = yield* openPools(side)
    const admissions: Array<unknown> = []
    for (const pool of open) {
      const gates = pools.get(pool)!.map((gate) => side.real(gate))
      admissions.push(yield* admitted(side, gates))
    }
    return { open, admissions }
  }),
})

/** R34: what says that there is nothing to do has nothing to do. */
export const quiet: Command = () => ({
  says: "whether a sweep would be in vain",
  on: Effect.fnUntraced(function* (side) {
    const { placements, runs } = side.storage
    if (!(yield* runs.isQuiet)) return "whatever"
    const { lost, runs: freed } = yield* runs.recover(plenty)
    const { runs: expired } = yield* runs.expire(plenty)
    const open = yield* runs.openGates(plenty)
    const { displaced, lanes } = yield* placements.displace(plenty)
    const { reports } = yield* runs.endOverdue(plenty)
    const found = [...lost, ...freed, ...expired, ...open, ...lanes, ...reports].length +
      displaced
    return found === 0 ? "whatever" : `quiet, and it found ${found}`
  }),
})

export const openGates: Command = () => ({
  says: "which gates are open",
  on: (side) => Effect.map(openPools(side), ({ open }) => open),
})

const kinds = ["runs", "keys", "slots"] as const

/** A pass that is under way has passed some by, so another one goes over all there is. */
export const retire: Command = (_, draws) => {
  const limit = draws.oneOf([1, 3, 500])
  return {
    says: `retire ${limit} at a time`,
    on: Effect.fnUntraced(function* (side) {
      const pass = untilDone(side.storage.history.retire(limit), ({ hasMore }) => !hasMore)
      const answers = [...(yield* pass), ...(yield* pass)]
      const sums = kinds.map((kind) => answers.reduce((sum, answer) => sum + answer[kind], 0))
      return Object.fromEntries(kinds.map((kind, at) => [kind, sums[at]]))
    }),
  }
}
