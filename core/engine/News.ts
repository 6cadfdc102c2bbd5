/** What runs have said and nobody was told of yet: told of a few at a time, each again until it is over. */
import type { Told } from "../services/LogStorage.ts"
import type { Telling } from "./Telling.ts"

/** Of so many runs is told in one trip. */
const tellingsMax = 200

export class News {
  readonly #waiting = new Set<Telling>()
  readonly #onNews: (isUrgent: boolean) => void
  #underWay: Array<Telling> = []

  constructor(onNews: (isUrgent: boolean) => void) {
    this.#onNews = onNews
  }

  /** Urgent if a report waits for it. */
  add(telling: Telling, isUrgent: boolean): void {
    this.#waiting.add(telling)
    this.#onNews(isUrgent)
  }

  has(): boolean {
    return this.#waiting.size > 0 || this.#underWay.length > 0
  }

  /** What to tell next; then `told`, when it was. */
  take(now: number): ReadonlyArray<Told> {
    const taken: Array<Told> = []
    for (const telling of this.#waiting) {
      if (taken.length === tellingsMax) break
      const told = telling.take(now)
      this.#waiting.delete(telling)
      if (told === undefined) continue
      taken.push(told)
      this.#underWay.push(telling)
    }
    return taken
  }

  /** What was taken was told. Answers for which nothing more is to come. */
  told(): ReadonlyArray<Telling> {
    const tellings = this.#underWay
    this.#underWay = []
    return tellings.filter((telling) => {
      telling.told()
      if (!telling.isOver) this.#waiting.add(telling)
      return telling.isOver
    })
  }
}
