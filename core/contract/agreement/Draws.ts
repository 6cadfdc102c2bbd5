/** Lots from a seed: the same ones each time, wherever they are drawn. */
export class Draws {
  private state: number

  constructor(seed: number) {
    this.state = seed
  }

  /** From 0 to less than 1, by mulberry32. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  /** From 0 to less than `bound`. */
  below(bound: number): number {
    return Math.floor(this.next() * bound)
  }

  chance(share: number): boolean {
    return this.next() < share
  }

  oneOf<A>(values: ReadonlyArray<A>): A {
    return values[this.below(values.length)]!
  }

  /** Each of `values` with this chance. */
  some<A>(values: ReadonlyArray<A>, share: number): ReadonlyArray<A> {
    return values.filter(() => this.chance(share))
  }
}
