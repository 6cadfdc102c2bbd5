/** A random sequence of commands, given to two storages in step. */
import { Cause, Effect, Exit, type Scope } from "effect"
import type { Storage } from "../../services/Storage.ts"
import { commandAt, type Mix, mixOf } from "./commands/mod.ts"
import { Draws } from "./Draws.ts"
import { Side } from "./Side.ts"
import { everything } from "./views.ts"
import { type Call, World } from "./World.ts"

export const commandsMax = 80

export interface Plan {
  readonly mix: Mix
  /** What each command is drawn from. Nothing else, so that the others may be left out. */
  readonly seeds: ReadonlyArray<number>
}

/** Both storages, empty and on clocks that stand still until they are told to go on. */
export interface Pair {
  readonly reference: Storage["Service"]
  readonly subject: Storage["Service"]
  /** Lets time go by for both. */
  readonly elapse: (millis: number) => Effect.Effect<unknown, unknown>
}

export interface Difference {
  /** What was done, the last of it with different answers. */
  readonly trail: ReadonlyArray<string>
  /** Where the answers differ, and how: the reference's, and the other. */
  readonly parts: ReadonlyArray<string>
}

export const planOf = (seed: number): Plan => {
  const draws = new Draws(seed)
  const mix = mixOf(draws)
  const length = 1 + draws.below(commandsMax)
  return { mix, seeds: Array.from({ length }, () => draws.below(2 ** 31)) }
}

/** Mostly so little that hardly anything ends; to the millisecond where something does. */
const pauses = [1, 1, 499, 500, 500, 1000, 1000, 5000, 20_000, 60_000]
/** After these nobody is here any more, and much has left by its age. */
const longOnes = [600_000, 3_600_000, ...[7, 8, 31].map((days) => days * 86_400_000)]

const pauseOf = (draws: Draws): number => draws.oneOf(draws.chance(0.07) ? longOnes : pauses)

/** Where both sides part ways, if they do. */
export const differenceOf = Effect.fnUntraced(function* (
  { elapse, reference, subject }: Pair,
  { mix, seeds }: Plan,
): Effect.fn.Return<Difference | undefined, unknown> {
  const sides = [new Side(reference), new Side(subject)] as const
  const world = new World(sides[0], yield* reference.now)
  const trail: Array<string> = []
  for (const seed of seeds) {
    const draws = new Draws(seed)
    if (draws.chance(0.12)) {
      const millis = pauseOf(draws)
      trail.push(`${millis} ms go by`)
      yield* elapse(millis)
      world.now += millis
      continue
    }
    const call = commandAt(mix, draws.next())(world, draws)
    if (call === undefined) continue
    trail.push(call.says)
    const parts = yield* compared(sides, call)
    if (parts.length > 0) return { trail, parts }
  }
  const call = everything(world, new Draws(seeds.length))
  trail.push(call.says)
  const parts = yield* compared(sides, call)
  return parts.length > 0 ? { trail, parts } : undefined
})

const compared = Effect.fnUntraced(function* (
  [reference, subject]: readonly [Side, Side],
  { learn, on }: Call,
) {
  const expected = yield* answerOf(reference, on)
  const answered = yield* answerOf(subject, on)
  const parts = partsOf(expected, answered)
  if (parts.length === 0) learn?.(expected as never)
  return parts
})

/** Both are plain data. */
const partsOf = (expected: unknown, answered: unknown, at = "answer"): ReadonlyArray<string> => {
  if (isObject(expected) && isObject(answered)) {
    return [...new Set([...Object.keys(expected), ...Object.keys(answered)])]
      .flatMap((key) => partsOf(expected[key], answered[key], `${at}.${key}`))
  }
  const [wanted, given] = [JSON.stringify(expected), JSON.stringify(answered)]
  return wanted === given ? [] : [`${at} is ${given} instead of ${wanted}`]
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null

/** With names for ids. What an adapter was not meant to say differs from all that it was. */
const answerOf = (side: Side, on: Call["on"]) =>
  Effect.map(
    Effect.exit(Effect.map(on(side), (answer) => side.named(answer) ?? null)),
    (exit) => Exit.isSuccess(exit) ? exit.value : { broke: Cause.pretty(exit.cause) },
  )

/** Trials with commands left out, until so many. */
const trialsMax = 150

/** The difference that a shorter sequence shows as well, if one is found. */
export const shrunk = Effect.fnUntraced(function* <E, R>(
  begin: Effect.Effect<Pair, E, R | Scope.Scope>,
  { mix, seeds }: Plan,
  found: Difference,
): Effect.fn.Return<Difference, unknown, R> {
  let shortest = seeds
  let difference = found
  let trials = 0
  for (let size = seeds.length >> 1; size >= 1; size >>= 1) {
    for (let from = 0; from < shortest.length && trials < trialsMax;) {
      const shorter = [...shortest.slice(0, from), ...shortest.slice(from + size)]
      trials++
      const again = yield* Effect.scoped(
        Effect.flatMap(begin, (pair) => differenceOf(pair, { mix, seeds: shorter })),
      )
      if (again === undefined) from += size
      else [shortest, difference] = [shorter, again]
    }
  }
  return difference
})
