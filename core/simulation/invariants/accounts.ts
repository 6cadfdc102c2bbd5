/**
 * What should have become of each slot of a trigger, by what was done to it and when: it was put,
 * paused, edited, its calendar was, and somebody went on with it who came in time or too late.
 *
 * It is told by the ledger alone, and by no code of the product: neither what a slot is nor what comes
 * of it is asked there.
 */
import type { RunId } from "../../domain/RunId.ts"
import type { Misfire, Passed, WhileRunning } from "../../domain/Trigger.ts"
import type { KeptTrigger } from "../Kept.ts"
import type { Entry } from "../Ledger.ts"
import type { Outcome } from "../Outcome.ts"
import { type Dues, duesOf, within } from "./dues.ts"

/** A slot, or a stretch of them, and its only right outcome. */
export interface Due {
  readonly slot: number
  readonly through: number
  readonly outcome: "fired" | "skipped" | "coalesced"
  readonly reason: string | undefined
}

/** A while in which nobody has turned the trigger. */
export interface Spell {
  /** By the world's clock. */
  readonly from: number
  readonly to: number
  /** All slots up to this one were accounted for when it began. */
  readonly past: number
  readonly isPaused: boolean
  /** Those in [`from`, `to`], by the clock of the storage. */
  readonly dueIn: (from: number, to: number) => ReadonlyArray<number>
}

export interface Account {
  /** In the order in which they came about. */
  readonly dues: ReadonlyArray<Due>
  readonly spells: ReadonlyArray<Spell>
  /** The first slot that nobody has gone past. */
  readonly next: number
  /** What was done that nobody may do. */
  readonly wrong: ReadonlyArray<string>
  /** Each time that a slot was to be filled in: what was wrong with the answer, if anything. */
  readonly filled: ReadonlyArray<string | undefined>
  readonly steps: ReadonlyArray<SlotStep>
}

/** A slot as somebody came to it. */
export interface SlotStep {
  readonly at: number
  readonly slot: number
  /** It made no run, for another of its trigger was under way. */
  readonly isSkipped: boolean
  readonly whileRunning: WhileRunning
  /** Its run may be due so much later: as its rule says, and before the next slot. */
  readonly jitterMillis: number
}

/** Of a slot that was skipped, for which run is left out. */
export const stillRunning = "still running"

/** Who goes on with a trigger may have decided so long before: it was paused, or its message late. */
const staleMillis = 20_000
/** Its clock goes on at another speed, and what is handed over ahead waits for its instant. */
const slackMillis = 1000
const usualGraceMillis = 60_000

const known = new WeakMap<Outcome, Map<string, Account>>()

export const accountOf = (outcome: Outcome, trigger: KeptTrigger): Account => {
  const accounts = known.get(outcome) ?? new Map<string, Account>()
  known.set(outcome, accounts)
  const account = accounts.get(trigger.name) ?? replayed(outcome, trigger)
  accounts.set(trigger.name, account)
  return account
}

const replayed = ({ clock, endedAt, ledger }: Outcome, { id, name }: KeptTrigger): Account => {
  const dues: Array<Due> = []
  const spells: Array<Spell> = []
  const wrong: Array<string> = []
  const filled: Array<string | undefined> = []
  const steps: Array<SlotStep> = []
  /** Slots that have their run, and what it is. */
  const made = new Map<number, "fired" | RunId>()
  const holidays = new Map<string, ReadonlyArray<string>>()
  let rule: Dues | undefined
  let misfire: Misfire = { _tag: "Once" }
  let graceMillis = usualGraceMillis
  let whileRunning: WhileRunning = "allow"
  let isPaused = false
  /** All slots up to here are accounted for. */
  let past = -Infinity
  /** The last one that came to its record. */
  let recorded = -Infinity
  let since = -Infinity
  /** As `past` was then. */
  let floor = -Infinity

  const next = () => rule?.after(past) ?? Infinity
  const record = (due: Due) => {
    dues.push(due)
    recorded = Math.max(recorded, due.through)
  }
  /** What was due and was not fired is skipped in one. */
  const close = (now: number, reason: string) => {
    const all = within(rule!, next(), now)
    if (all.length > 0) {
      record({ slot: all[0]!, through: all.at(-1)!, outcome: "skipped", reason })
    }
  }
  const spell = (at: number) => {
    if (rule !== undefined && at > since) {
      const [of, days] = [rule, new Map(holidays)]
      const then = duesOf(
        of.schedule,
        of.anchor ?? 0,
        (calendar) => days.get(calendar) ?? [],
      )
      spells.push({
        from: since,
        to: at,
        past: floor,
        isPaused,
        dueIn: (from, to) => within(then, from, to),
      })
    }
    since = at
  }

  const turn = (entry: Extract<Entry, { kind: "turned" }>) => {
    const now = Math.floor(clock.said(entry.at))
    misfire = entry.misfire
    graceMillis = entry.graceMillis ?? usualGraceMillis
    whileRunning = entry.whileRunning ?? "allow"
    const { schedule } = entry
    const before = rule?.schedule
    const isAsLong = before?._tag === "Every" && schedule._tag === "Every" &&
      before.millis === schedule.millis
    const anchor = isAsLong ? rule!.anchor! : now
    const wanted = duesOf(schedule, anchor, (calendar) => holidays.get(calendar) ?? [])
    if (rule?.rule === wanted.rule && rule.anchor === wanted.anchor) return
    if (rule !== undefined) close(now, isPaused ? "paused" : "edited")
    rule = wanted
    past = Math.max(now, recorded)
  }

  const pause = (entry: Extract<Entry, { kind: "paused" }>) => {
    const now = Math.floor(clock.said(entry.at))
    if (isPaused && !entry.isPaused && next() <= now) {
      close(now, "paused")
      past = Math.max(now, recorded)
    }
    isPaused = entry.isPaused
  }

  const recall = ({ at, calendar, holidays: days }: Extract<Entry, { kind: "recalled" }>) => {
    if (holidays.get(calendar)?.join() === days.join()) return
    const first = next()
    holidays.set(calendar, days)
    if (rule?.calendar !== calendar) return
    past = Math.min(first - 1, Math.max(Math.floor(clock.said(at)), recorded))
  }

  /** Whether somebody may go on like this who has taken the clock to be between these. */
  const isAllowed = (
    passed: Passed | undefined,
    slot: number | undefined,
    { from, to }: { readonly from: number; readonly to: number },
  ): boolean => {
    const keeps = misfire._tag === "All" ? misfire.max : misfire._tag === "Once" ? 1 : 0
    const late = (slot: number, now: number) =>
      within(rule!, slot, now - graceMillis, keeps + 1).length
    const latest = to + slackMillis
    if (slot === undefined) {
      return keeps === 0 && passed!.through <= latest - graceMillis &&
        rule!.after(passed!.through) > from - graceMillis
    }
    return slot <= latest && late(slot, from) <= keeps &&
      (passed === undefined || (keeps > 0 && late(slot, latest) >= keeps))
  }

  const step = (entry: Extract<Entry, { kind: "stepped" }>) => {
    const { at, passed, slot } = entry
    const isSkipped = entry.isSkipped === true
    const last = slot ?? passed?.through
    if (last === undefined) return
    if (rule === undefined) {
      wrong.push(`${name} went on to ${last} when it was no more`)
      return
    }
    const first = passed?.from ?? last
    const says = (what: string) =>
      wrong.push(
        `${name} went on ${passed === undefined ? "" : `past ${first} to ${passed.through} `}` +
          `to ${slot === undefined ? "none" : `slot ${slot}`} ${what}`,
      )
    if (isPaused) says("while it was paused")
    if (first !== next()) says(`from ${next()}`)
    if (passed !== undefined) {
      const all = within(rule, first, passed.through)
      if (all.at(-1) !== passed.through) says("past what is no slot")
      if (slot !== undefined && rule.after(passed.through) !== slot) says("past more than it says")
    }
    if (last > clock.said(at)) says("before its instant")
    if (!clock.taken(at, staleMillis).some((taken) => isAllowed(passed, slot, taken))) {
      says(`at ${clock.said(at)}, which is not ${JSON.stringify({ misfire, graceMillis })}`)
    }
    if (passed !== undefined) {
      const outcome = misfire._tag === "Once" ? "coalesced" : "skipped"
      record({
        slot: passed.from,
        through: passed.through,
        outcome,
        reason: outcome === "skipped" ? "misfired" : undefined,
      })
    }
    if (slot !== undefined) {
      if (isSkipped && whileRunning !== "skip") says("and skipped it")
      const [outcome, reason] = isSkipped
        ? ["skipped", stillRunning] as const
        : ["fired", undefined] as const
      record({ slot, through: slot, outcome, reason })
      if (!isSkipped) made.set(slot, "fired")
      const jitterMillis = Math.min(rule.jitterMillis, rule.after(slot) - slot - 1)
      steps.push({ at, slot, isSkipped, whileRunning, jitterMillis })
    }
    past = Math.max(past, last)
  }

  /** It is no more: what was due has its record, and somebody may put it again. */
  const remove = (at: number) => {
    if (rule !== undefined) close(Math.floor(clock.said(at)), isPaused ? "paused" : "removed")
    rule = undefined
    isPaused = false
  }

  /** A slot is filled in if it is of the rule, over, and has no run. */
  const fill = ({ answer, at, run, slot }: Extract<Entry, { kind: "asked" }>) => {
    if (slot === undefined || answer === "Stale") return
    const now = clock.said(at)
    const before = made.get(slot)
    const isToCome = slot > now || (!isPaused && slot >= next())
    // What has fired is to come again where the clock was set back to before it.
    const right = rule === undefined
      ? "Stale"
      : before !== undefined && before !== "fired"
      ? "Already"
      : isToCome
      ? "Pending"
      : before === "fired"
      ? "Already"
      : "Fired"
    const isSame = before === undefined || before === "fired" || before === run
    filled.push(
      answer === right && isSame && rule?.after(slot - 1) === slot
        ? undefined
        : `slot ${slot} of ${name} was to be filled in: ${answer} as run ${run}, not ${right} (${before})`,
    )
    if (answer === "Fired") made.set(slot, run!)
  }

  for (const entry of ledger.entries) {
    if (entry.kind === "stepped") {
      if (entry.trigger === id) step(entry)
      continue
    }
    if (entry.kind === "asked") {
      if (entry.trigger === id) fill(entry)
      continue
    }
    const isTurned = entry.kind === "turned" || entry.kind === "paused" || entry.kind === "removed"
    if (entry.kind !== "recalled" && !(isTurned && entry.trigger === name)) continue
    spell(entry.at)
    if (entry.kind === "recalled") recall(entry)
    else if (entry.kind === "removed") remove(entry.at)
    else if (entry.kind === "turned") turn(entry)
    else pause(entry)
    floor = past
  }
  spell(endedAt)
  return { dues, spells, next: next(), wrong, filled, steps }
}
