/**
 * Cron beside an oracle that shares nothing with it: the oracle walks the clock minute by minute, a
 * day either way of every change of the clocks, and asks `Intl` what the wall shows.
 *
 * Every distinct rule set of the zones is tried, 2020 to 2035, and 100,000 random inputs. With
 * `BELFRY_LONG` set (`npm run verify:long`) it is every zone by name, and a million.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Trigger from "./Trigger.ts"

const isLong = process.env["BELFRY_LONG"] !== undefined
const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const [from, to] = [Date.UTC(2020, 0, 1), Date.UTC(2036, 0, 1)]

/** The minute that a wall clock shows, as the instant at which one in UTC would show it. */
const wallOf = (zone: string) => {
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
  })
  return (instant: number): number => {
    const text = format.format(instant)
    const at = (index: number, length: number) => Number(text.slice(index, index + length))
    return Date.UTC(at(6, 4), at(3, 2) - 1, at(0, 2), at(12, 2), at(15, 2))
  }
}

interface Change {
  readonly zone: string
  readonly at: number
  readonly before: number
  readonly after: number
}

/** When the clocks of a zone change, to the minute. */
const changesOf = (zone: string): ReadonlyArray<Change> => {
  const wall = wallOf(zone)
  const offset = (instant: number) => wall(instant) - instant
  const found: Array<Change> = []
  const step = 5 * day
  let before = offset(from)
  for (let start = from; start < to; start += step) {
    let [low, high] = [start, start + step]
    const after = offset(high)
    if (after === before) continue
    while (high - low > minute) {
      const middle = low + Math.floor((high - low) / 2 / minute) * minute
      if (offset(middle) === before) low = middle
      else high = middle
    }
    found.push({ zone, at: high, before, after })
    before = after
  }
  return found
}

type Fits = (wall: Date) => boolean

interface Sample {
  readonly expression: string
  readonly fits: Fits
  readonly isFixed: boolean
  readonly gap?: "shift" | "next" | "skip"
  readonly overlap?: "first" | "second" | "both"
}

const at = (hours: ReadonlyArray<number>, minutes: ReadonlyArray<number>): Fits => (wall) =>
  hours.includes(wall.getUTCHours()) && minutes.includes(wall.getUTCMinutes())
const each = (of: number, count: number) =>
  Array.from({ length: Math.ceil(count / of) }, (_, n) => n * of)
const all = each(1, 24)

const plain: ReadonlyArray<Sample> = [
  { expression: "30 2 * * *", fits: at([2], [30]), isFixed: true },
  { expression: "15 1 * * *", fits: at([1], [15]), isFixed: true },
  { expression: "0 0 * * *", fits: at([0], [0]), isFixed: true },
  { expression: "@daily", fits: at([0], [0]), isFixed: true },
  { expression: "0 3 * * *", fits: at([3], [0]), isFixed: true },
  { expression: "45 23 * * *", fits: at([23], [45]), isFixed: true },
  { expression: "10,40 0-3 * * *", fits: at([0, 1, 2, 3], [10, 40]), isFixed: true },
  { expression: "*/15 * * * *", fits: at(all, each(15, 60)), isFixed: false },
  { expression: "0 * * * *", fits: at(all, [0]), isFixed: false },
  { expression: "0 */2 * * *", fits: at(each(2, 24), [0]), isFixed: false },
  { expression: "*/20 1-2 * * *", fits: at([1, 2], each(20, 60)), isFixed: false },
  {
    expression: "7 * * * MON-FRI",
    fits: (wall) => wall.getUTCMinutes() === 7 && ![0, 6].includes(wall.getUTCDay()),
    isFixed: false,
  },
  {
    expression: "20 1 L * SUN",
    fits: (wall) =>
      at([1], [20])(wall) &&
      (wall.getUTCDay() === 0 || new Date(+wall + day).getUTCDate() === 1),
    isFixed: true,
  },
]

/** The same, under every rule for what is missing and what comes twice. */
const ruled: ReadonlyArray<Sample> = [plain[0]!, plain[6]!, plain[10]!].flatMap((sample) => [
  ...(["shift", "next", "skip"] as const).map((gap) => ({ ...sample, gap })),
  ...(["first", "second", "both"] as const).map((overlap) => ({ ...sample, overlap })),
])
const samples = [...plain, ...ruled]

/** A minute of the clock, and the minutes before it that the wall left out. */
interface Minute {
  readonly instant: number
  readonly wall: Date
  readonly missing: ReadonlyArray<Date>
}

/** A day either way of a change: what the wall shows at each minute. */
const walked = ({ at, zone }: Change): ReadonlyArray<Minute> => {
  const wall = wallOf(zone)
  let last = wall(at - day - minute)
  return Array.from({ length: (2 * day) / minute }, (_, n) => {
    const instant = at - day + n * minute
    const shown = wall(instant)
    const missing: Array<Date> = []
    for (let left = last + minute; left < shown; left += minute) missing.push(new Date(left))
    last = shown
    return { instant, wall: new Date(shown), missing }
  })
}

/** Those of the minutes that fit: shown once or twice, and left out. */
const fitting = (walk: ReadonlyArray<Minute>, fits: Fits) => {
  const shown = new Map<number, Array<number>>()
  const missing: Array<{ readonly instant: number; readonly after: number }> = []
  for (const { instant, missing: left, wall } of walk) {
    for (const [at, each] of left.entries()) {
      if (fits(each)) missing.push({ instant, after: at * minute })
    }
    if (!fits(wall)) continue
    const known = shown.get(+wall)
    if (known === undefined) shown.set(+wall, [instant])
    else known.push(instant)
  }
  return { shown, missing }
}

/** What is due in those minutes, by the rules as they are written down. */
const expected = (
  { missing, shown }: ReturnType<typeof fitting>,
  { gap, isFixed, overlap }: Sample,
): ReadonlyArray<number> => {
  const byGap = gap ?? (isFixed ? "shift" : "skip")
  const byOverlap = overlap ?? (isFixed ? "first" : "both")
  const due = new Set<number>()
  if (byGap !== "skip") {
    for (const { after, instant } of missing) due.add(byGap === "next" ? instant : instant + after)
  }
  for (const [first, second = first] of shown.values()) {
    if (byOverlap !== "second") due.add(first!)
    if (byOverlap !== "first") due.add(second!)
  }
  return [...due].sort((a, b) => a - b)
}

const found = (zone: string, { expression, gap, overlap }: Sample, start: number, end: number) => {
  const schedule: Trigger.Schedule = {
    _tag: "Cron",
    expression,
    zone,
    ...(gap !== undefined && { gap }),
    ...(overlap !== undefined && { overlap }),
  }
  const slots: Array<number> = []
  for (const slot of Trigger.slots(schedule, start - 1)) {
    if (slot > end) break
    slots.push(slot)
  }
  return slots
}

const zones = Intl.supportedValuesOf("timeZone")

describe("cron beside a walk through the minutes", () => {
  it("B31: agrees around every change of clocks from 2020 to 2035", { timeout: 3_600_000 }, () => {
    const seen = new Set<string>()
    let sets = 0
    let compared = 0
    for (const zone of zones) {
      const changes = changesOf(zone)
      const set = JSON.stringify(changes.map(({ after, at, before }) => [at, before, after]))
      if (!seen.has(set)) sets++
      seen.add(set)
      for (const change of changes) {
        // Another zone may have had the same change, of the same clocks.
        const key = `${change.at} ${change.before} ${change.after}`
        if (!isLong && seen.has(key)) continue
        seen.add(key)
        const walk = walked(change)
        const [start, end] = [walk[0]!.instant, walk[walk.length - 1]!.instant]
        const fit = new Map<Fits, ReturnType<typeof fitting>>()
        for (const sample of samples) {
          compared++
          if (!fit.has(sample.fits)) fit.set(sample.fits, fitting(walk, sample.fits))
          const ours = found(zone, sample, start, end)
          const theirs = expected(fit.get(sample.fits)!, sample)
          if (ours.join() === theirs.join()) continue
          const { expression, gap = "", overlap = "" } = sample
          assert.deepStrictEqual(
            ours.map((slot) => new Date(slot).toISOString()),
            theirs.map((slot) => new Date(slot).toISOString()),
            `"${expression}" ${gap}${overlap} in ${zone}, at ${new Date(change.at).toISOString()}`,
          )
        }
      }
    }
    assert.isAbove(sets, 40, "the runtime knows the zones")
    assert.isAbove(compared, 20_000)
  })
})

/** Numbers from a seed: a failure says which input it was. */
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
}

describe("random inputs", () => {
  const count = isLong ? 1_000_000 : 100_000

  it(`B32: of ${count} the next slot is later, and found in time`, { timeout: 3_600_000 }, () => {
    const next = random(20_311_001)
    const pick = <A>(values: ReadonlyArray<A>): A => values[Math.floor(next() * values.length)]!
    const upTo = (most: number) => Math.floor(next() * (most + 1))
    const field = (least: number, most: number) =>
      pick([
        () => "*",
        () => `*/${1 + upTo(11)}`,
        () => `${least + upTo(most - least)}`,
        () => `${least + upTo(most - least)},${least + upTo(most - least)}`,
        () => {
          const start = least + upTo(most - least)
          return `${start}-${start + upTo(most - start)}`
        },
      ])()
    const places = isLong ? zones : Array.from({ length: 40 }, () => pick(zones))
    let slowest = 0
    for (let n = 0; n < count; n += 20) {
      const schedule: Trigger.Schedule = {
        _tag: "Cron",
        expression: [
          ...pick([[], [field(0, 59)]]),
          field(0, 59),
          field(0, 23),
          pick(["*", "*", "*", "L", "LW", `${1 + upTo(27)}`, `${1 + upTo(27)}W`]),
          pick(["*", "*", field(1, 12)]),
          pick(["*", "*", "MON-FRI", `${upTo(6)}`, `${upTo(6)}#${1 + upTo(3)}`]),
        ].join(" "),
        zone: pick(places),
        ...pick([{}, { gap: "next" }, { gap: "skip" }, { gap: "shift" }]),
        ...pick([{}, { overlap: "first" }, { overlap: "second" }, { overlap: "both" }]),
      }
      let after = from + upTo(to - from)
      Trigger.slotAfter(schedule, after)
      for (let more = 0; more < 20; more++) {
        const began = performance.now()
        const slot = Trigger.slotAfter(schedule, after)
        slowest = Math.max(slowest, performance.now() - began)
        if (slot === undefined) break
        if (slot <= after || slot % 1000 !== 0) {
          assert.fail(`${JSON.stringify(schedule)} after ${after} says ${slot}`)
        }
        // From the slot on, from right before it, or from anywhere.
        after = pick([() => slot, () => slot - 1, () => from + upTo(to - from)])()
      }
    }
    // Processes share the machine, so one pause is not a verdict; a search without end is one.
    assert.isBelow(slowest, 250)
  })
})
