/**
 * Values in an order that does not change while they are in it. Adding at the end and taking from
 * the front, as queues do, cost next to nothing.
 */
export class Sorted<A> {
  private readonly order: (a: A, b: A) => number
  private readonly values: Array<A> = []
  /** Values before it are gone. They are cut off now and then, not one by one. */
  private front = 0

  constructor(order: (a: A, b: A) => number) {
    this.order = order
  }

  get size(): number {
    return this.values.length - this.front
  }

  get first(): A | undefined {
    return this.values[this.front]
  }

  add(value: A): void {
    const last = this.values[this.values.length - 1]
    if (this.size === 0 || this.order(last!, value) <= 0) this.values.push(value)
    else this.values.splice(this.place(value), 0, value)
  }

  delete(value: A): boolean {
    const at = this.place(value)
    if (this.values[at] !== value) return false
    if (at === this.front) {
      this.front++
      if (this.front > 1024 && this.front * 2 > this.values.length) {
        this.values.splice(0, this.front)
        this.front = 0
      }
    } else this.values.splice(at, 1)
    return true
  }

  *[Symbol.iterator](): Generator<A> {
    for (let at = this.front; at < this.values.length; at++) yield this.values[at]!
  }

  /** The first values, from `from` in order, as long as `isWanted`. */
  *from(isBefore: (value: A) => boolean): Generator<A> {
    let low = this.front
    let high = this.values.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (isBefore(this.values[middle]!)) low = middle + 1
      else high = middle
    }
    for (; low < this.values.length; low++) yield this.values[low]!
  }

  private place(value: A): number {
    let low = this.front
    let high = this.values.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.order(this.values[middle]!, value) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}
