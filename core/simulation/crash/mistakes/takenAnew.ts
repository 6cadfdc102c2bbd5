/** Planted: who asks again what it took of the outbox, as no answer came, is taken for somebody else. */
import type { Mistake } from "../../World.ts"

export const takenAnew: Mistake = (storage) => {
  const { outbox } = storage
  let takers = 0
  return {
    ...storage,
    outbox: { ...outbox, take: (request) => outbox.take({ ...request, taker: ++takers }) },
  }
}
