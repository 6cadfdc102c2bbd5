/** Executors claim, start and report; wrongly now and then. */
import { Effect } from "effect"
import type { Incarnation } from "../../../domain/Executor.ts"
import type { Fence } from "../../../domain/Lease.ts"
import { asked, done } from "../../../domain/Rollback.ts"
import { held } from "../../../services/ExecutorStorage.ts"
import type {
  Claimed,
  Ending,
  Endings,
  Grant,
  Report,
  Settled,
} from "../../../services/RunStorage.ts"
import {
  abort,
  discard,
  failure,
  giveUp,
  giveWay,
  handOver,
  postpone,
  putDown,
  release,
  retry,
  succeed,
  timeOut,
} from "../../world.ts"
import type { Draws } from "../Draws.ts"
import type { Side } from "../Side.ts"
import { asSet, type Command, type Granted, type Hand, lanesOf, type World } from "../World.ts"
import { everyEnding, everyExpiry, learnEnded } from "./sweeps.ts"

/** A report about a run by its name, to be made about its id. */
interface Said {
  readonly granted: Granted
  readonly fence: number
  readonly kind: string
  readonly on: (side: Side) => Report
}

type Held = { readonly run: Grant["run"]; readonly fence: Fence }

const kinds: ReadonlyArray<readonly [kind: string, report: (held: Held) => Report]> = [
  ["succeed", (held) => succeed(held)],
  ["succeed with", (held) => succeed(held, '{"done": true}')],
  ["retry", (held) => retry(held)],
  ["retry in 500", (held) => retry(held, 500)],
  ["retry in 90000", (held) => retry(held, 90_000)],
  ["give up", giveUp],
  ["time out", timeOut],
  ["release", release],
  ["release, full", (held) => ({ ...release(held), why: "PoolFull" })],
  ["postpone for 500", (held) => postpone(held, 500)],
  ["abort", abort],
  ["give way", giveWay],
  ["discard", discard],
  ["put down", (held) => putDown(held)],
  ["put down with", (held) => putDown(held, '{"at": 7}')],
  ["hand over", (held) => handOver(held)],
  ["hand over for 60000", (held) => handOver(held, 60_000)],
  ["give up, otherwise", (held) => ({
    _tag: "GiveUp",
    ...held,
    failure: { ...failure, tag: "Other", error: '{"why": 1}' },
  })],
  ["rolled back", (held) => ({ _tag: "GiveUp", ...held, failure: done(asked({ by: "Ada" })) })],
]

const liveOf = (world: World, grants: ReadonlyArray<Granted>): ReadonlyArray<Granted> => {
  const running = new Set(
    world.views().filter(({ state }) => state === "Running")
      .map(({ fence, name }) => `${name} ${fence}`),
  )
  return grants.filter(({ fence, run }) => running.has(`${run} ${fence}`))
}

/** Grants of now or before, mostly with the right fence. */
const someReport = (world: World, draws: Draws, hand?: Hand): Said | undefined => {
  const own = world.grants.filter((each) => hand === undefined || each.hand === hand.name)
  const live = liveOf(world, own)
  const from = live.length > 0 && draws.chance(0.85) ? live : own
  if (from.length === 0) return undefined
  const granted = draws.oneOf(from)
  const fence = draws.chance(0.08) ? granted.fence + draws.oneOf([-1, 1]) : granted.fence
  const [kind, report] = draws.oneOf(kinds)
  return {
    granted,
    fence,
    kind,
    on: (side) => report({ run: side.run(granted.run), fence: fence as Fence }),
  }
}

const sayOf = ({ fence, granted: { run }, kind }: Said): string => `${kind} ${run} by ${fence}`

/**
 * The answers, where R5 tells what they are: a report with the fence that settled last, by who
 * settled, is a duplicate, and one with a fence that was never granted is fenced. Of others that
 * change nothing not every storage remembers which they are.
 */
const judged = (
  world: World,
  hand: string,
  said: ReadonlyArray<Said>,
): (settled: ReadonlyArray<Settled>) => ReadonlyArray<string> => {
  const fences = new Map(world.views().map(({ fence, name }) => [name, fence]))
  const isCertain = said.map(({ fence, granted: { run } }, at) => {
    const last = world.settled.get(run)
    const isFirst = said.findIndex((each) => each.granted.run === run) === at
    return (last?.fence === fence && last.hand === hand && fences.get(run) === fence && isFirst) ||
      fence > (fences.get(run) ?? 0) || fence < 1
  })
  return (settled) =>
    settled.map((answer, at) => answer === "applied" || isCertain[at] ? answer : "changes nothing")
}

const learnSettled =
  (world: World, hand: string, said: ReadonlyArray<Said>) => (answers: ReadonlyArray<string>) => {
    for (const [at, { fence, granted: { run } }] of said.entries()) {
      if (answers[at] === "applied") world.settled.set(run, { fence, hand })
    }
  }

export const claim: Command = (world, draws) => {
  const hand = world.someHand(draws)
  if (hand === undefined) return undefined
  const loop = draws.oneOf([0, 0, 1] as const)
  const isAgain = draws.chance(0.12) && hand.rounds[loop] > 0
  const round = isAgain
    ? Math.max(1, hand.rounds[loop] - draws.oneOf([0, 0, 1]))
    : ++hand.rounds[loop]
  const said = draws.chance(0.5)
    ? [0, 1, 2].flatMap(() => someReport(world, draws, hand) ?? [])
    : []
  const lanes = draws.chance(0.7)
    ? lanesOf(hand.namespace)
    : draws.some(lanesOf(hand.namespace), 0.6)
  // Of what is past its deadline a claim ends what it comes across (R16), so then all is claimed,
  // and the rest ended right away.
  const { isAnyLate } = world
  const limit = isAnyLate ? 100 : draws.oneOf([0, 1, 1, 2, 3, 10])
  const settledOf = judged(world, hand.name, said)
  return {
    says: `${hand.name} claims ${limit} of ${lanes.join(" ") || "no lane"} in round ${round} of ` +
      `loop ${loop}${isAgain ? " again" : ""}${said.map((each) => `, ${sayOf(each)}`).join("")}`,
    on: Effect.fnUntraced(function* (side) {
      const answer: Claimed | "Lost" = yield* side.storage.runs.claim({
        incarnation: side.executors.id(hand.name),
        loop,
        round,
        isAgain,
        lanes,
        limit,
        reports: said.map(({ on }) => on(side)),
      })
      const expired = isAnyLate ? yield* everyExpiry(side) : { freed: [] }
      if (answer === "Lost") return answer
      const { freed, grants, settled } = side.named(answer) as {
        [K in keyof Claimed]: Array<never>
      }
      return {
        settled: settledOf(settled),
        // Whether a round comes in the order of its grant is open (R7).
        grants: isAgain ? asSet(grants) : grants,
        freed: asSet([...new Set([...freed, ...expired.freed])]),
      }
    }),
    learn: (
      answer: "Lost" | {
        readonly settled: ReadonlyArray<string>
        readonly grants: ReadonlyArray<{ readonly run: string; readonly fence: number }>
      },
    ) => {
      if (answer === "Lost") return
      learnSettled(world, hand.name, said)(answer.settled)
      for (const { fence, run } of answer.grants) {
        world.grants.push({ run, fence, hand: hand.name })
      }
    },
  }
}

/** Mostly by who holds it. */
const someHolder = (world: World, draws: Draws, { granted }: Said): string =>
  draws.chance(0.92) ? granted.hand : draws.oneOf(world.hands).name

export const settle: Command = (world, draws) => {
  const first = someReport(world, draws)
  if (first === undefined) return undefined
  const hand = someHolder(world, draws, first)
  const more = draws.chance(0.3)
    ? someReport(world, draws, world.hands.find(({ name }) => name === hand))
    : undefined
  const said = more === undefined ? [first] : [first, more]
  const settledOf = judged(world, hand, said)
  return {
    says: `${hand}: ${said.map(sayOf).join(", ")}`,
    on: (side) =>
      Effect.map(
        side.storage.runs.settle(
          side.executors.id(hand),
          said.map(({ on }) => on(side)),
        ),
        ({ freed, settled }) => ({
          settled: settledOf(settled),
          freed: asSet(side.named(freed) as Array<string>),
        }),
      ),
    learn: ({ settled }: { readonly settled: ReadonlyArray<string> }) =>
      learnSettled(world, hand, said)(settled),
  }
}

export const start: Command = (world, draws) => {
  const said = someReport(world, draws)
  if (said === undefined) return undefined
  const hand = someHolder(world, draws, said)
  const { fence, granted: { run } } = said
  const left = draws.chance(0.3) ? someEnding(world, draws, said.granted) : undefined
  return {
    says: `${hand} starts ${run} by ${fence}${
      left === undefined ? "" : `, and leaves ${left.says}`
    }`,
    on: (side) =>
      side.storage.runs.start(side.executors.id(hand), [
        {
          run: side.run(run),
          fence: fence as Fence,
          ...(left !== undefined && { ending: left.on(side) }),
        },
      ]),
  }
}

const endings: ReadonlyArray<readonly [kind: string, report: (held: Held) => Report]> = [
  ["time out", timeOut],
  ["give up", giveUp],
  ["retry", (held) => retry(held)],
  ["retry in 90000", (held) => retry(held, 90_000)],
]

/**
 * What is to be said of a grant: the same each time, and at the very instant that was left before or by
 * more than a tenth of a second from it (E9).
 */
const someEnding = (world: World, draws: Draws, { fence, run }: Granted) => {
  const before = world.overdueAt.get(`${run} ${fence}`) ?? []
  let at = world.now + draws.oneOf([0, 0, 0, 1, 500, 1000, 5000, 20_000])
  while (before.some((each) => each !== at && Math.abs(each - at) <= 100)) at += 150
  world.overdueAt.set(`${run} ${fence}`, [...before, at])
  const inMillis = at - world.now
  const [kind, report] = endings[(Number(run.slice("run ".length)) + fence) % endings.length]!
  return {
    says: `${kind} ${run} by ${fence} in ${inMillis}`,
    on: (side: Side): Ending => ({
      inMillis,
      report: report({ run: side.run(run), fence: fence as Fence }),
    }),
  }
}

/** Mostly of its own grants that are live; now and then with a number that is over, or of none. */
const someEndings = (world: World, draws: Draws, hand: Hand) => {
  const before = world.endings.get(hand.name) ?? 0
  const number = draws.chance(0.65) ? before + 1 : Math.max(1, before - draws.oneOf([0, 1]))
  world.endings.set(hand.name, Math.max(number, before))
  const own = world.grants.filter((each) => each.hand === hand.name)
  const from = draws.chance(0.8) ? liveOf(world, own) : world.grants.slice(-8)
  // Each run once, by its latest grant that was drawn.
  const some = new Map(draws.some(from, 0.7).map((each) => [each.run, each]))
  const all = [...some.values()].map((each) => someEnding(world, draws, each))
  return {
    says: `, and leaves as number ${number} ${all.map(({ says }) => says).join(", ") || "nothing"}`,
    on: (side: Side): Endings => ({ number, all: all.map(({ on }) => on(side)) }),
  }
}

/** With a grant forgotten, or one too many, or some rounds not answered yet. */
export const reconcile: Command = (world, draws) => {
  const hand = world.someHand(draws)
  if (hand === undefined) return undefined
  const grants = draws.some(world.grants.filter((each) => each.hand === hand.name).slice(-20), 0.6)
  const rounds = hand.rounds.flatMap((round, loop) =>
    round > 0 ? [{ loop, round: round - draws.oneOf([0, 0, 1]) }] : []
  )
  return {
    says: `${hand.name} knows of ${grants.map(({ run }) => run).join(", ") || "nothing"}`,
    on: (side) =>
      Effect.map(
        side.storage.runs.reconcile(side.executors.id(hand.name), {
          grants: grants.map(({ fence, run }) => ({ run: side.run(run), fence: fence as Fence })),
          rounds,
        }),
        ({ passed }) => asSet([...new Set(side.named(passed) as Array<string>)]),
      ),
  }
}

/** Also that of `ExecutorStorage`: what it holds as it says, what it is asked to stop. */
export const beat: Command = (world, draws) => {
  const hand = world.someHand(draws)
  if (hand === undefined) return undefined
  const known = knownTo(world, draws, hand)
  return {
    says: `${hand.name} beats with ${known.map(({ run }) => run).join(", ") || "nothing"}`,
    on: (side) => beaten(side, hand.name, known, undefined),
    learn: ({ _tag }: { readonly _tag: string }) => {
      if (_tag === "Lost") world.toldLost.add(hand.name)
    },
  }
}

/** Leaves what is to be said of its runs with one beat, or with several, and some of it is, perhaps. */
export const leaveEndings: Command = (world, draws) => {
  const holder = draws.chance(0.85) ? liveOf(world, world.grants).at(-1)?.hand : undefined
  const hand = world.hands.find(({ name }) => name === holder) ?? world.someHand(draws)
  if (hand === undefined) return undefined
  const known = knownTo(world, draws, hand)
  const left = Array.from(
    { length: draws.oneOf([1, 2, 2, 3]) },
    () => draws.chance(0.9) ? someEndings(world, draws, hand) : undefined,
  )
  const isSaid = draws.chance(0.7)
  return {
    says: `${hand.name} beats${left.map((each) => each?.says ?? ", and leaves it").join("; ")}` +
      (isSaid ? "; what is overdue is said" : ""),
    on: (side) =>
      Effect.all({
        beats: Effect.forEach(left, (each) => beaten(side, hand.name, known, each?.on(side))),
        ended: isSaid ? everyEnding(side) : Effect.succeed({ reports: [], freed: [] }),
      }),
    learn: (
      { beats, ended }: {
        readonly beats: ReadonlyArray<{ readonly _tag: string }>
        readonly ended: { readonly reports: ReadonlyArray<unknown> }
      },
    ) => {
      if (beats.some(({ _tag }) => _tag === "Lost")) world.toldLost.add(hand.name)
      learnEnded(world, ended)
    },
  }
}

const knownTo = (world: World, draws: Draws, hand: Hand) => {
  const running = world.views().filter(({ executor, state }) =>
    state === "Running" &&
    executor?.incarnation === world.reference.executors.id(hand.name)
  ).map(({ fence, name }) => ({ run: name, fence }))
  return draws.chance(0.8) ? running : running.slice(1)
}

const beaten = (
  side: Side,
  hand: string,
  known: ReadonlyArray<{ run: string; fence: number }>,
  endings: Endings | undefined,
) =>
  Effect.map(
    side.storage.executors.beat(
      side.executors.id(hand) as Incarnation,
      held(known.map(({ fence, run }) => ({ run: side.run(run), fence: fence as Fence }))),
      undefined,
      endings,
    ),
    (answer) =>
      answer._tag === "Lost" ? answer : {
        ...answer,
        revoked: asSet(side.named(answer.revoked) as Array<unknown>),
      },
  )
