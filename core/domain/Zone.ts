/**
 * What the clocks of a time zone show, by the runtime's own tz data, remembered.
 *
 * The time of a zone is cut into stretches of one distance from UTC each. Within one, local times
 * and instants are the same but for that distance; only where two meet is a local time missing (a
 * gap) or there twice (an overlap). A local time is written as the milliseconds since 1970 at which
 * a clock in UTC would show it.
 */

export interface Stretch {
  readonly from: number
  /** Where the next one begins. */
  readonly to: number
  /** Milliseconds by which the local clocks are ahead of UTC, in this stretch and its neighbours. */
  readonly offset: number
  readonly before: number
  readonly after: number
}

/** The stretch that `instant` lies in. It may be cut short where nothing changes. */
export const stretchAt = (zone: string, instant: number): Stretch => {
  if (zone === "UTC") return utc
  const stretches = blockOf(zone, Math.floor(instant / blockMillis))
  let at = stretches.length - 1
  while (stretches[at]!.from > instant) at--
  return stretches[at]!
}

/** The local time at `instant`. */
export const localAt = (zone: string, instant: number): number =>
  instant + stretchAt(zone, instant).offset

const utc: Stretch = { from: -Infinity, to: Infinity, offset: 0, before: 0, after: 0 }

/** Stretches are looked for, and kept, for a year or so at a time. */
const blockMillis = 400 * 86_400_000
/** No zone changed its distance twice within two days and came back to the same one. */
const probeMillis = 2 * 86_400_000
/** The first and the last instant that a date can stand for. */
const edgeMillis = 8.64e15

interface Known {
  readonly offsetAt: (instant: number) => number
  readonly blocks: Map<number, ReadonlyArray<Stretch>>
}

const zones = new Map<string, Known>()
/** Of all zones. Names may be written in many ways, and years are many, so both begin anew. */
const blocksMax = 20_000
let blocks = 0

const blockOf = (zone: string, number: number): ReadonlyArray<Stretch> => {
  const known = zones.get(zone)?.blocks.get(number)
  if (known !== undefined) return known
  if (++blocks > blocksMax) {
    zones.clear()
    blocks = 1
  }
  let of = zones.get(zone)
  if (of === undefined) zones.set(zone, of = { offsetAt: reader(zone), blocks: new Map() })
  // With what lies close by, so that no change is so near to an edge that it looks like none.
  const made = cut(
    of.offsetAt,
    number * blockMillis - probeMillis,
    (number + 1) * blockMillis + probeMillis,
  )
  of.blocks.set(number, made)
  return made
}

const cut = (
  offsetAt: Known["offsetAt"],
  start: number,
  end: number,
): ReadonlyArray<Stretch> => {
  const changes: Array<{ readonly from: number; readonly offset: number }> = [
    { from: start, offset: offsetAt(start) },
  ]
  for (let at = start; at < end;) {
    const { offset } = changes[changes.length - 1]!
    const next = Math.min(at + probeMillis, end)
    if (offsetAt(next) === offset) {
      at = next
      continue
    }
    const from = changeWithin(offsetAt, at, next, offset)
    if (from < end) changes.push({ from, offset: offsetAt(from) })
    at = from
  }
  return changes.map(({ from, offset }, at) => ({
    from,
    to: changes[at + 1]?.from ?? end,
    offset,
    before: changes[at - 1]?.offset ?? offsetAt(start - 1),
    after: changes[at + 1]?.offset ?? offsetAt(end),
  }))
}

/** The first instant after `from` whose offset is not `offset`, to the second; `to` is one. */
const changeWithin = (
  offsetAt: Known["offsetAt"],
  from: number,
  to: number,
  offset: number,
): number => {
  let [low, high] = [from / 1000, to / 1000]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (offsetAt(middle * 1000) === offset) low = middle
    else high = middle
  }
  return high * 1000
}

/** Asks the runtime, which answers as in `1/1/2031, GMT+05:30`. */
const reader = (zone: string): Known["offsetAt"] => {
  const format = new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "longOffset" })
  return (instant) => {
    const text = format.format(Math.min(edgeMillis, Math.max(-edgeMillis, instant)))
    const found = /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(text)
    if (found === null) throw new Error(`the distance from UTC is not told by "${text}"`)
    const [, sign, hours = 0, minutes = 0, seconds = 0] = found
    const distance = (Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)
    return (sign === "-" ? -1000 : 1000) * distance
  }
}
