/**
 * The clock of the storage, which somebody sets now and then, by minutes and by hours, while the
 * world's own goes on evenly.
 *
 * It is never set to a time that it has said already, so what it said tells when that was.
 */
import { Clock, Effect } from "effect"

interface Setting {
  /** By the world's clock. */
  readonly from: number
  readonly aheadMillis: number
}

/**
 * By so much an instant may have been rounded down; and so much later than it was it may be taken to be,
 * where the clock was set in between.
 */
export const rounding = 1

export class SetClock {
  readonly clock: Clock.Clock
  private readonly world: Clock.Clock
  private readonly settings: Array<Setting>

  constructor(world: Clock.Clock) {
    this.world = world
    this.settings = [{ from: world.currentTimeMillisUnsafe(), aheadMillis: 0 }]
    const now = () => world.currentTimeMillisUnsafe() + this.settings.at(-1)!.aheadMillis
    this.clock = Object.create(world, {
      currentTimeMillisUnsafe: { value: now },
      currentTimeMillis: { value: Effect.sync(now) },
    })
  }

  /** From now on it is so much ahead of the world's. */
  set(aheadMillis: number): void {
    this.settings.push({ from: this.world.currentTimeMillisUnsafe(), aheadMillis })
  }

  /** When it was set. */
  get steps(): ReadonlyArray<number> {
    return this.settings.slice(1).map(({ from }) => from)
  }

  /** As if it had been set but so often. */
  cut(count: number): void {
    this.settings.splice(count + 1)
  }

  /** What it said at an instant of the world. */
  said(at: number): number {
    return at + this.settings.findLast(({ from }) => from <= at)!.aheadMillis
  }

  /** The latest that it has said from one instant of the world to another. */
  latest(from: number, to: number): number {
    return Math.max(
      this.said(from),
      this.said(to),
      ...this.settings.flatMap(({ aheadMillis, from: since }, nth) => {
        const until = this.settings[nth + 1]?.from ?? Infinity
        return from < until && until <= to && since <= to ? [until + aheadMillis] : []
      }),
    )
  }

  /** The instant of the world at which it said so, if it did. */
  when(said: number): number | undefined {
    return this.settings.map(({ aheadMillis, from }, nth) => {
      const at = said - aheadMillis
      const until = this.settings[nth + 1]?.from ?? Infinity
      // What was rounded down to before it was set is not of before that.
      return from - rounding <= at && at <= until ? Math.max(at, Math.ceil(from)) : undefined
    }).find((at) => at !== undefined)
  }

  /**
   * What somebody may take it to say at an instant of the world who has looked at it at most `millis`
   * before and gone by his own clock since, one span for each setting that he may have seen.
   */
  taken(at: number, millis: number): ReadonlyArray<{ readonly from: number; readonly to: number }> {
    return this.settings.flatMap(({ aheadMillis, from }, nth) => {
      const until = this.settings[nth + 1]?.from ?? Infinity
      const seen = Math.max(from, at - millis)
      return from <= at && until >= at - millis
        ? [{ from: seen + aheadMillis, to: at + aheadMillis }]
        : []
    })
  }

  /** Whether it was not set in between. */
  isSteady(from: number, to: number): boolean {
    return !this.steps.some((at) => from <= at && at <= to)
  }
}
